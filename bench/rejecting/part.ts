import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type Algorithm, AuthorizedKeys, type ReceivedMessage, Signer, Verifier } from '../../src/index.ts'
import { compare } from '../measure.ts'
import type { Plan } from '../plan.ts'
import type { Report } from '../report.ts'
import { number, table } from '../text.ts'
import { DESTINATION, QUEUE } from '../tokens/messages.ts'
import { type Attack, BODY, captured, forged, garbage, misplaced, readTable, receivedWith, sign } from './attacks.ts'

/** How much dearer the dearest message may be than a valid one. */
const MOST = 10

const KEYS: Readonly<Record<Algorithm, () => KeyObject>> = {
  Ed25519: () => generateKeyPairSync('ed25519').privateKey,
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
}

interface Service {
  readonly signer: Signer
  readonly verifier: Verifier
}

function serviceOf(key: KeyObject, algorithm?: Algorithm): Service {
  const signer = Signer.fromKey(key, { service: 'shop', ...(algorithm !== undefined && { algorithm }) })
  const keys = AuthorizedKeys.parse(signer.authorizedKeysLine(QUEUE))
  return { signer, verifier: new Verifier({ keys, replay: 'off' }) }
}

/** What rejecting costs at most: the dearest messages of each kind, against a valid one. */
export async function measureRejecting(plan: Plan, report: Report): Promise<void> {
  const main = serviceOf(KEYS.Ed25519())
  const batches = serviceOf(KEYS.Ed25519())
  const message = { destination: DESTINATION, payload: BODY, ...plain() }
  const batched = batches.signer.signBatch(new Array(1024).fill(message))[700] as string
  const attacks: Attack[] = [
    ...garbage(main.signer, main.verifier),
    ...Object.entries(KEYS).map(([name, makeKey]) => {
      const { signer, verifier } = serviceOf(makeKey(), name as Algorithm)
      return forged(name, signer, verifier)
    }),
    bigRsa(),
    ...captured('one message', sign(main.signer), main.verifier),
    ...captured('batch', batched, batches.verifier),
    ...misplaced(batched, batches.verifier),
  ]
  const valid = valids(main, attacks)
  const rows: string[][] = []
  let dearest = 0
  for (const attack of attacks) {
    report.progress(`rejecting, ${attack.name}`)
    const { name, code, verifier, received, octets, members } = attack
    const reference = valid.get(octets) as ReceivedMessage
    mustBe(name, code, verifier, received)
    // The digest of the last message is kept, so another comes between.
    const other = { ...received, properties: { ...received.properties, messageId: 'other' } }
    let turn = false
    const medians = await compare(
      [
        {
          name: 'valid',
          operations: 1,
          run: () => {
            main.verifier.check(reference)
            if (members !== undefined) readTable(members)
          },
        },
        {
          name: 'attack',
          operations: 1,
          run: () => {
            turn = !turn
            verifier.check(turn ? received : other)
          },
        },
      ],
      { ...plan.effort, warmUp: plan.effort.warmUp / 4, millis: plan.effort.millis / 4 },
    )
    const [good = 0, bad = 0] = [medians.get('valid'), medians.get('attack')]
    dearest = Math.max(dearest, bad / good)
    rows.push([name, `\`${code}\``, comparedWith(attack), number(bad), number(good), number(bad / good, 2)])
  }
  rows.sort((one, other) => Number(other[5]?.replaceAll(',', '')) - Number(one[5]?.replaceAll(',', '')))
  report.section(
    '## Rejecting',
    '',
    'CPU µs to reject a message that was made to be dear, and what that is compared with: to verify a valid one (Ed25519),',
    'whose body has 1 KiB, or as many octets as the message that is dear for its size alone. For the names of a table of',
    '30,000 members, which JavaScript can only list all at once, it is the valid one and putting that table together, which',
    'the client has done before.',
    '',
    ...table(['', 'code', 'compared with', 'rejecting', 'that', 'factor'], rows),
  )
  report.goal('the dearest message to reject, against a valid one', dearest, 'at most', MOST)
}

function plain(): Pick<ReceivedMessage, 'properties' | 'headers'> {
  const { properties = {}, headers = {} } = receivedWith('')
  return { properties, headers }
}

/** Valid messages by the size of their bodies. */
function valids({ signer }: Service, attacks: readonly Attack[]): Map<number | undefined, ReceivedMessage> {
  const sizes = new Set(attacks.map(({ octets }) => octets))
  return new Map(
    [...sizes].map((size) => {
      const payload = size === undefined ? BODY : Buffer.alloc(size)
      return [size, receivedWith(sign(signer, payload), { payload })]
    }),
  )
}

/** The largest RSA key there may be. */
function bigRsa(): Attack {
  const { signer, verifier } = serviceOf(generateKeyPairSync('rsa', { modulusLength: 8192 }).privateKey)
  return forged('PS256, 8192 bits', signer, verifier)
}

function comparedWith({ octets, members }: Attack): string {
  if (members !== undefined) return `1 KiB, a table of ${number(members, 0)}`
  return octets === undefined ? '1 KiB' : `${number(octets / 1024, 0)} KiB`
}

function mustBe(name: string, code: string, verifier: Verifier, received: ReceivedMessage): void {
  const result = verifier.check(received)
  const found = 'code' in result ? result.code : 'authorized'
  if (found !== code) throw new Error(`the benchmark is broken: ${name} is ${found} and not ${code}`)
}
