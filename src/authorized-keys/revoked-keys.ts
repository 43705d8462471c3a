import { hash } from 'node:crypto'
import { fromBase64, fromBase64Url } from '../base64.ts'
import { SetupError, type SourcePosition } from '../errors.ts'
import { looksLikeOpenSsh, parseOpenSshLine } from '../keys/openssh-public.ts'
import { asciiFault, at, contentLines, type Report, raise, splitFields, syntaxError } from './syntax.ts'

/**
 * Reads a revoked_keys text: one key a line, as an OpenSSH public key line, as `SHA256:…` (what `ssh-keygen -l` prints)
 * or as `kid:…` (the RFC 7638 thumbprint). A comment may follow. A key too weak to be allowed can be revoked all the same.
 *
 * @param report what to do with an error. By default it is thrown and the whole text refused; whoever only notes it gets
 *   every line that is right, since a partial list of revocations is better than none.
 * @returns `SHA256:…` and `kid:…` texts
 * @throws SetupError `authorized-keys-invalid`, `key-private-in-public-place`, `key-malformed`, `key-type-unsupported`
 */
export function parseRevokedKeys(text: string, file: string, report: Report = raise): Set<string> {
  const revocations = new Set<string>()
  for (const line of contentLines(text, file, report)) {
    try {
      revocations.add(parseRevocation(line.text, line.position))
    } catch (error) {
      if (!(error instanceof SetupError)) throw error
      report(error)
    }
  }
  return revocations
}

function parseRevocation(text: string, position: SourcePosition): string {
  const [first, second] = splitFields(text, 2)
  if (first === undefined) throw syntaxError('a line that says nothing: delete it', position)
  const isKey = looksLikeOpenSsh(first.text)
  const fault = asciiFault(text, isKey && second !== undefined ? [second] : [first], position)
  if (fault !== undefined) throw fault
  const here = at(position, first.start)
  if (isKey) {
    parseOpenSshLine(`${first.text} ${second?.text ?? ''}`, here)
    return `SHA256:${hash('sha256', Buffer.from(second?.text ?? '', 'base64'), 'base64').replace(/=+$/, '')}`
  }
  if (first.text.startsWith('SHA256:')) {
    if (fromBase64(`${first.text.slice(7)}=`)?.length === 32) return first.text
    throw syntaxError('not a SHA-256 fingerprint: write SHA256: and the 43 characters ssh-keygen -l prints', here)
  }
  if (first.text.startsWith('kid:')) {
    if (fromBase64Url(first.text.slice(4))?.length === 32) return first.text
    throw syntaxError('not a key id: write kid: and the 43 characters of the RFC 7638 SHA-256 thumbprint', here)
  }
  throw syntaxError('write the public key line (ssh-ed25519 …) without service and options, SHA256:… or kid:…', here)
}
