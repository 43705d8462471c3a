import type { ReasonCode } from '../reasons.ts'

/** What each code means, in the words of docs/reasons.md without its marks: what happened, who can cause it, what to do. */
export const REASON_TEXTS: Readonly<Record<ReasonCode, readonly [what: string, who: string, advice: string]>> = {
  'token-missing': [
    'No header queueauth.',
    'A producer that is not wrapped, or a client or hop that drops headers; anyone who can publish.',
    'verifier.counters.of(queue).unsignedFrom tells who. Wrap that producer, or set acceptUnsignedUntil for the queue while you do.',
  ],
  'token-duplicated': [
    'Several values of the header.',
    'A producer that adds a token to a message that has one; a tampering hop.',
    'Let one place sign. On Kafka look for two headers of that name.',
  ],
  'token-oversize': [
    'More than 8192 characters.',
    'Nobody by accident: signers refuse to make one.',
    'Treat it as hostile; look at who publishes there.',
  ],
  'token-malformed': [
    'Not a token of the wire format.',
    'A hop that rewrites or cuts headers, another library under the same name, an attacker.',
    "If it is all of one producer's, compare the header it sends with the one that arrives.",
  ],
  'version-unsupported': [
    'A token of a later version.',
    'A producer upgraded before its consumers.',
    'Upgrade the consumer, then re-drive the dead letters.',
  ],
  'key-unknown': [
    "No authorized key has the token's kid, or not any more: it was taken out while the message waited.",
    'A new or rotated producer whose line is not here yet, or whose line was deleted too early; an attacker with a key of its own.',
    'Ask the producer for signer.authorizedKeysLine(…), check the fingerprint, add the line, re-drive.',
  ],
  'key-revoked': [
    'The key is in revoked_keys.',
    'A producer still using it, or the thief it was revoked for.',
    'Give the producer a new key. Never un-revoke to get the queue going: sign the good messages again.',
  ],
  'key-not-yet-valid': [
    "Signed before the line's valid-after.",
    'A producer that switched keys early, or whose clock is behind.',
    'Check its clock. Move valid-after, or wait.',
  ],
  'key-expired': [
    "Signed at or after the line's valid-before, or that plus the maximum age is over.",
    'A producer that missed the rotation.',
    'Switch it to its new key. If there is none, extend valid-before first.',
  ],
  'alg-not-allowed': [
    "The token's algorithm is not the one the key's line allows.",
    'A producer with an RSA key that signs RS256 while the line says nothing (PS256), or the other way round; an attacker who tries none or HMAC.',
    'For RS256 write alg="RS256" on the line. Anything named none or HS… is an attack.',
  ],
  'signature-invalid': [
    'Not signed by the key it names.',
    'Tampering, or a hop that changes the header.',
    'Treat it as tampering until you know the hop.',
  ],
  'service-mismatch': [
    'The key belongs to another service than the token names.',
    "A producer configured with another's name; a service that poses as another.",
    "Compare the producer's service with the first word of its line.",
  ],
  'queue-not-authorized': [
    'The service may not publish to this queue.',
    'A producer that publishes somewhere new; a missing pattern; a compromised producer.',
    'If it should be allowed, add the queue to queues="…". If not, ask why it tried.',
  ],
  'destination-mismatch': [
    'It was signed for another address than it came by.',
    'A shovel, federation, dead-letter exchange or alternate exchange on the way; someone who copied it.',
    "The detail shows both. If the way is intended, list it in the queue's destinations.",
  ],
  'body-mismatch': [
    'The body is not the one that was signed.',
    'A hop that re-encodes or compresses; tampering; a producer that changes the buffer after publishing.',
    'Compare the bytes. If a proxy changes bodies, sign behind it.',
  ],
  'headers-mismatch': [
    'A signed header or property was changed, added or removed, or a queueauth-* header is there.',
    'A hop that rewrites headers; tampering; a dead letter sent back as it is.',
    'Tell producers to leave such headers out with unsignedHeaders. Remove queueauth-* from what you re-drive.',
  ],
  'age-exceeded': [
    'It waited longer than maxAgeSeconds.',
    'A backlog, a consumer that was down; someone who kept it.',
    "If the backlog is real, raise the queue's maxAgeSeconds and re-drive.",
  ],
  'issued-in-future': [
    'Signed further ahead than clockSkewSeconds.',
    'A producer whose clock is fast; a consumer whose clock is slow.',
    'Mend the clock (chronyc tracking). Do not raise the skew to hide it.',
  ],
  'message-expired': [
    "The producer's own deadline is over.",
    'A backlog.',
    'Nothing, if late means useless. Otherwise raise expiresInSeconds at the producer.',
  ],
  'token-id-reused': [
    'Another message was handled under the same token id.',
    'A signer of another make whose ids are not random; a producer whose key was stolen.',
    'Look at both messages. Ids of this library do not collide.',
  ],
  'proof-invalid': [
    'The token is one of a batch, and the message is not the one that was signed at that place: its body, a signed header or property, or the place is another.',
    'As body-mismatch and headers-mismatch; in a batch the two cannot be told apart. Someone who puts the token of one message of a batch on another.',
    'As for those two. Publish it without batch to see which of them it is.',
  ],
  'keys-unavailable': [
    'No trustworthy set of keys, or the set is out of date and lacks this key.',
    'A key directory that is broken or gone for too long, a JWKS address that does not answer.',
    'Mend the file or address; warnings of the process name it. Consumption goes on by itself.',
  ],
  'store-unavailable': [
    'The replay store fails or gives no usable answer.',
    'A store that is down or unreachable.',
    'Mend the store. Consumption goes on by itself.',
  ],
  'clock-unreliable': [
    'The wall clock jumped by more than the skew.',
    'A resumed virtual machine, a time server, an operator.',
    'Nothing, if it is over in half a minute. If it recurs, mend time synchronization on the consumer.',
  ],
  'in-progress': [
    'A copy of the message is being handled, here or elsewhere.',
    'Redelivery, a producer that sent twice, a consumer that died holding the lease.',
    'Nothing: it is over with the handler or, at the latest, with the lease (30 s). A handler that hangs shows here.',
  ],
  duplicate: [
    'The message was handled to the end before.',
    'Redelivery after a lost acknowledgement, a producer that retried, someone who copied it or moved the consumer group back.',
    'Nothing. If a retry of yours is skipped, name where it goes in retryDestinations, or call releaseForRetry(message) before publishing it again with its old token. To handle everything once more, use the option reprocess.',
  ],
}
