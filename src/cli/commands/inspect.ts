import { Command } from 'commander'
import { visible } from '../../text.ts'
import type { Token } from '../../token.ts'
import { BATCH_TOKEN_TYPE, isFault, parseToken, TOKEN_TYPE } from '../../token.ts'
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
  const { alg, kid, claims } = token.signed
  const index = token.place === undefined ? {} : { index: token.place.index }
  if (json) printJson({ verified: false, header: { alg, typ: typeOf(token), kid }, claims, ...index })
  else print(shown(token))
}

function typeOf({ place }: Token): string {
  return place === undefined ? TOKEN_TYPE : BATCH_TOKEN_TYPE
}

/** What a token says of the message itself. */
function contentRows({ signed, place }: Token): string[][] {
  const { claims } = signed
  if ('mr' in claims) {
    return [
      ['mr', claims.mr, 'root of the tree that its batch is'],
      ['n', String(claims.n), `messages in the batch; this is number ${place?.index}, from 0`],
    ]
  }
  return [
    ['bh', claims.bh ?? 'null', claims.bh === null ? 'it has no body' : 'digest of the body'],
    ['hh', claims.hh, 'digest of the covered headers and properties'],
  ]
}

function shown(token: Token): string {
  const now = nowSeconds()
  const { alg, kid, claims } = token.signed
  const { iat, exp } = claims
  const [iss, aud, jti] = [claims.iss, claims.aud, claims.jti].map(visible)
  const hs = claims.hs?.map(visible)
  const hasBody = !('bh' in claims) || claims.bh !== null
  const rows = [
    ['alg', alg, 'the signature algorithm'],
    ['typ', typeOf(token), 'the version of the format'],
    ['kid', kid, 'the id of the key'],
    [],
    ['iss', iss, 'the service that claims to have signed it'],
    ['aud', aud, 'the destination it was sent to'],
    ['iat', String(iat), `signed ${formatTimeFrom(iat, now)}`],
    ['jti', jti, 'the id of the message'],
    ...contentRows(token),
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
    `  - that ${hasBody ? 'the body' : 'it has no body'}, ${hs === undefined ? '' : `${hs.join(', ')} `}and the properties are what was signed`,
    '  - that it was not handled before',
    'queue-key-auth verify does, over the whole message.',
  ].join('\n')
}
