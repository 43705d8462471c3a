import { hasPrivateMembersInText } from './jwk.ts'
import { MAGIC_BASE64 } from './openssh-private.ts'
import { hasPrivateLabel } from './pem.ts'
import { unwrapped } from './unwrap.ts'

/**
 * Whether a text holds private key material: a PEM block with a private label, an openssh-key-v1, a PuTTY key, or a JWK or
 * JWK Set with private or symmetric members. Used to refuse it, loudly, where only public keys belong.
 */
export function containsPrivateKey(input: string | Uint8Array): boolean {
  // Latin-1 without zero octets reads UTF-16, which PowerShell writes, well enough to see a label in it.
  const text = typeof input === 'string' ? input : Buffer.from(input).toString('latin1').replaceAll('\0', '')
  if (isPrivate(text)) return true
  // The forms that a key is read in although something was put around it.
  if (!/^\s*(?:["'`]|LS0t|e[wy]|TFMwd|ZX[cdl])/.test(text)) return false
  const inner = unwrapped(text)
  return inner !== text && isPrivate(inner)
}

function isPrivate(text: string): boolean {
  if (hasPrivateLabel(text) || text.includes(MAGIC_BASE64)) return true
  return /^[^\w-]*[{[]/.test(text) && hasPrivateMembersInText(text.slice(text.search(/[{[]/)))
}
