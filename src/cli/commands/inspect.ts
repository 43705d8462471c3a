import { Command } from 'commander'
import type { Token } from '../../token.ts'
import { isFault, parseToken, TOKEN_TYPE } from '../../token.ts'
import { stdinText } from '../messages/stdin.ts'
import { CommandError, hint, paint, print, printJson } from '../output.ts'
import { REASON_TEXTS } from '../reason-texts.ts'
import { formatTimeFrom, nowSeconds } from '../times.ts'

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('what a token says; nothing of it is verified')
    .usage('[token] [--json]')
    .argument('[token]', 'the value of the header queueauth; without it, stdin')
    .option('--json', 'print JSON in place of text')
    .addHelpText('after', '\nExits with 1 when it is no token that a consumer could read.')
    .action(inspect)
}

async function inspect(argument: string | undefined, { json }: { json?: true }): Promise<void> {
  if (argument === undefined && process.stdin.isTTY) hint('waiting for a token on stdin')
  const token = parseToken((argument ?? (await stdinText())).trim())
  if (isFault(token)) {
    if (json) printJson({ verified: false, code: token.code, detail: token.detail })
    throw new CommandError(`${token.code}: ${token.detail}`, { hint: REASON_TEXTS[token.code][2] })
  }
  const { alg, kid, claims } = token
  if (json) printJson({ verified: false, header: { alg, typ: TOKEN_TYPE, kid }, claims })
  else print(shown(token))
}

function shown({ alg, kid, claims }: Token): string {
  const now = nowSeconds()
  const { iss, aud, iat, jti, bh, hh, hs, exp } = claims
  const rows = [
    ['alg', alg, 'the signature algorithm'],
    ['typ', TOKEN_TYPE, 'the version of the format'],
    ['kid', kid, 'the id of the key'],
    [],
    ['iss', iss, 'the service that claims to have signed it'],
    ['aud', aud, 'the destination it was sent to'],
    ['iat', String(iat), `signed ${formatTimeFrom(iat, now)}`],
    ['jti', jti, 'the id of the message'],
    ['bh', bh ?? 'null', bh === null ? 'it has no body' : 'digest of the body'],
    ['hh', hh, 'digest of the covered headers and properties'],
    ...(hs === undefined ? [] : [['hs', hs.join(' '), 'covered headers']]),
    ...(exp === undefined ? [] : [['exp', String(exp), `handling must start by ${formatTimeFrom(exp, now)}`]]),
  ]
  const width = Math.max(...rows.map(([, value = '']) => value.length).filter((length) => length <= 50))
  const lines = rows.map(([name = '', value = '', meaning = '']) =>
    `  ${name.padEnd(3)}  ${value.padEnd(width)}  ${meaning}`.trimEnd(),
  )
  return [
    `${paint('bold', 'Nothing here is verified')}: anybody can write such a token.`,
    '',
    ...lines,
    '',
    'A consumer checks',
    `  - that key ${kid} is authorized, not revoked, and may be used with ${alg}`,
    '  - that this key made the signature',
    `  - that a line of this key names ${iss} and the queue, and its window holds at ${formatTimeFrom(iat, now)}`,
    `  - that the message came by ${aud}, or by a way that the policy lists`,
    `  - that it is not too old${exp === undefined ? '' : ', nor past its deadline'}, and not from the future`,
    `  - that ${bh === null ? 'it has no body' : 'the body'}, ${hs === undefined ? '' : `${hs.join(', ')} `}and the properties are what was signed`,
    '  - that it was not handled before',
    'queue-key-auth verify does, over the whole message.',
  ].join('\n')
}
