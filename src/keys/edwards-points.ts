// y = 0, 1, p - 1, the two y of order 8, and p and p + 1, which are 0 and 1 written a second way. Each counts with either
// sign bit, so these seven are the fourteen encodings of points of low order. Little-endian (RFC 8032, section 5.1.2).
const LOW_ORDER: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((hex) => Buffer.from(hex, 'hex'))

/**
 * Whether the first 32 bytes encode a point of low order. Under such a key a fixed signature verifies many messages, and
 * Node.js imports them all.
 */
export function isLowOrderPoint(encoded: Uint8Array): boolean {
  return LOW_ORDER.some((point) => {
    for (let i = 0; i < 31; i++) if (encoded[i] !== point[i]) return false
    return ((encoded[31] as number) & 0x7f) === point[31]
  })
}

/** Whether the first 32 bytes encode a y below p = 2^255 - 19, as RFC 8032 (section 5.1.3) demands. */
export function isCanonicalPoint(encoded: Uint8Array): boolean {
  if (((encoded[31] as number) & 0x7f) !== 0x7f) return true
  for (let i = 30; i > 0; i--) if (encoded[i] !== 0xff) return true
  return (encoded[0] as number) < 0xed
}
