/** The files of a key directory, and what files of other names are meant to be. */

export const AUTHORIZED_KEYS = 'authorized_keys'
export const REVOKED_KEYS = 'revoked_keys'
export const QUEUE_POLICY = 'queue_policy'

/** One of the three kinds of files that are read. */
export type OwnFile = typeof AUTHORIZED_KEYS | typeof REVOKED_KEYS | typeof QUEUE_POLICY

/**
 * Whether a file holds authorized keys: `authorized_keys` itself, or a part of it such as `billing.authorized_keys`. Parts
 * lie beside it and not in a directory of their own, because a Kubernetes ConfigMap has no directories.
 */
export function isAuthorizedKeysFile(name: string): boolean {
  return name === AUTHORIZED_KEYS || (name.endsWith(`.${AUTHORIZED_KEYS}`) && !name.startsWith('.'))
}

/** Whether a file of this name is read. */
export function isOwnFile(name: string): boolean {
  return isAuthorizedKeysFile(name) || name === REVOKED_KEYS || name === QUEUE_POLICY
}

/** What editors and package managers call the state before a change. */
const BACKUP =
  /~$|^#.*#$|\.(?:bak|backup|old|orig|prev|rej|save|sw[a-p]|rpm(?:save|orig)|dpkg-(?:old|bak)|ucf-old|pacsave)$|___jb_(?:tmp|old)___$/i

/** Whether a name is that of an earlier state of a file, which no editor leaves behind to be read. */
export function isBackup(name: string): boolean {
  return BACKUP.test(name)
}

/** The same of a copy with a number, such as `authorized_keys.2025`. Revocations of a year are still revocations. */
export function isOldCopy(name: string): boolean {
  return isBackup(name) || (NUMBERED.test(name) && meantBy(name) !== REVOKED_KEYS)
}

/** The file that a backup is one of: `revoked_keys` of `revoked_keys~`. */
export function originalOf(backup: string): string {
  return backup.replace(BACKUP, '').replace(/^#(.*)#$/, '$1')
}

/** A number behind a dot or a dash, as log rotation and people write it. */
const NUMBERED = /[.-]\d[\d-]*$/

/** Letters alone, without accents: what is left of a name however it is spelt. */
function lettersOf(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z]/g, '')
}

const ENDINGS = '(?:txt|list|lst|conf|cfg|keys?|pub|pem|json|ya?ml|d|krl)*'
const REVOCATIONS = new RegExp(`^(?:keys?)?(?:revoke[ds]?|revocations?|krl)${ENDINGS}$`)
const ALLOWED = new RegExp(`^(?:authori[sz]ed|allowed)(?:signers?|services?)?${ENDINGS}$`)
const DENIED = /unauthori[sz]ed|deauthori[sz]ed/

const HIDDEN: ReadonlyMap<string, OwnFile> = new Map(
  ([AUTHORIZED_KEYS, REVOKED_KEYS, QUEUE_POLICY] as const).flatMap((name) => [
    [name, name] as const,
    [`${name}.txt`, name] as const,
  ]),
)

/**
 * The file of ours that one of another name is meant to be: spelt otherwise, a part of it, or a directory of parts.
 * Up to two letters may be wrong, missing, doubled or swapped.
 */
export function meantBy(name: string): OwnFile | undefined {
  // A dot in front is how programs name their drafts, unless the very name stands behind it.
  if (name.startsWith('.')) return HIDDEN.get(name.slice(1).toLowerCase().replaceAll('-', '_'))
  if (isBackup(name)) return undefined
  const letters = lettersOf(name)
  if (REVOCATIONS.test(letters) || DENIED.test(letters) || contains(letters, 'revokedkeys')) return REVOKED_KEYS
  if (NUMBERED.test(name)) return undefined
  if (ALLOWED.test(letters) || contains(letters, 'authorizedkeys')) return AUTHORIZED_KEYS
  if (contains(letters, 'queuepolicy') || contains(letters, 'queuepolicies')) return QUEUE_POLICY
  return undefined
}

/** Words for keys that must not be used any more, in the names of files or directories. */
const REVOKING = /revo[ck]|compromised|stolen|leaked|blacklist|blocklist|denylist|blocked|banned|denied|distrusted/

/** Whether a name would do for a file of revocations, if that is what is in it. */
export function soundsRevoking(name: string): boolean {
  return !name.startsWith('.') && !isBackup(name) && (REVOKING.test(lettersOf(name)) || meantBy(name) === REVOKED_KEYS)
}

const MAX_EDITS = 2

/** Whether some part of a text is a word but for two edits (Sellers; two letters swapped are two). */
function contains(text: string, word: string): boolean {
  let row = Array.from({ length: word.length + 1 }, (_, index) => index)
  for (const letter of text) {
    const next = [0]
    for (let index = 1; index <= word.length; index++) {
      const same = word.charAt(index - 1) === letter ? 0 : 1
      next.push(Math.min((row[index - 1] ?? 0) + same, (row[index] ?? 0) + 1, (next[index - 1] ?? 0) + 1))
    }
    row = next
    if ((row[word.length] ?? MAX_EDITS + 1) <= MAX_EDITS) return true
  }
  return false
}
