import type { ReasonCode } from '../../reasons.ts'

/** What is known of a refused message. */
export interface Refusal {
  readonly queue: string
  /** as the token says; undefined when it cannot be read, or no key that is known has signed it */
  readonly service: string | undefined
  readonly keyId: string | undefined
  readonly destination: string | undefined
  readonly alg: string | undefined
  /** the lines of its key: `keys/authorized_keys:3`; empty when none is known */
  readonly lines: readonly string[]
}

const NOTHING = 'Nothing should: no line and no option makes this message good.'

/** Which line or option would change the verdict. */
export function remedyOf(code: ReasonCode, refusal: Refusal): string {
  const { queue, service = 'the service', keyId, destination, alg, lines } = refusal
  const line = lines.length === 0 ? `the line of ${service} in authorized_keys` : lines.join(' or ')
  const policy = (member: string): string => `a line in queue_policy: ${queue} ${member}`
  switch (code) {
    case 'token-missing':
      return `Until every producer signs, ${policy('accept-unsigned-until=<time>')}.`
    case 'key-unknown':
      return (
        // Not the name in the token: nobody has proved it.
        `A line for key ${keyId ?? '(unreadable)'}, if it is that of a service of yours: get the public key from whoever runs ` +
        `that service, by a way you trust, and write queue-key-auth authorize <dir> <service> <key file> --queues "${queue}".`
      )
    case 'key-revoked':
      return 'None. The key counts as stolen: give the service a new one, and sign what is good again.'
    case 'key-not-yet-valid':
      return `An earlier valid-after in ${line}.`
    case 'key-expired':
      return `A later valid-before in ${line}; better, the service's new key.`
    case 'alg-not-allowed':
      return alg === 'RS256' || alg === 'PS256'
        ? `${alg === 'RS256' ? 'alg="RS256"' : 'No alg="RS256"'} in ${line}.`
        : NOTHING
    case 'service-mismatch':
      return `If the key is that of ${service}: its name at the beginning of ${line}. If not, the producer's service option.`
    case 'queue-not-authorized':
      return `${JSON.stringify(queue)} in queues="…" of ${line}, if ${service} is to publish there.`
    case 'destination-mismatch':
      return `If the way it came is intended, ${policy(`destinations=delivered,${destination ?? '<address>'}`)}.`
    case 'headers-mismatch':
      return "If a hop changes the header, its name in the producer's unsignedHeaders. Nothing makes this message good."
    case 'age-exceeded':
      return `A longer age, ${policy('max-age=<n>d')}, and then send it again.`
    case 'message-expired':
      return 'Nothing for this message; for later ones a longer expiresInSeconds at the producer.'
    case 'issued-in-future':
      return 'None: mend the clock. Then send it again, as soon as its time has come.'
    case 'version-unsupported':
      return 'A newer queue-key-auth at the consumer. Then send it again.'
    case 'token-id-reused':
      return 'None while the replay store remembers the other message of that id.'
    case 'duplicate':
      return 'None is needed: it was handled. To handle it once more, the service signs it again.'
    case 'keys-unavailable':
    case 'store-unavailable':
    case 'clock-unreliable':
    case 'in-progress':
      return 'None is needed: the consumer tries again by itself.'
    default:
      return NOTHING
  }
}
