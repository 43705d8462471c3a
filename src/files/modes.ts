import type { Stats } from 'node:fs'
import { lstat, readlink, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import type { SetupError } from '../errors.ts'
import { keyError } from '../keys/key-error.ts'

/**
 * Who else can write to a file decides who can publish, so modes are looked at as sshd does with StrictModes. On systems
 * without user ids nothing is looked at.
 */

const WRITABLE_BY_OTHERS = 0o022
const WRITABLE_BY_EVERYBODY = 0o002
const STICKY = 0o1000

/** Links that lead to links; as many as Linux follows. */
const MAX_LINKS = 40

/** What can be seen of a file or directory. */
export type Owned = Pick<Stats, 'mode' | 'uid'>

/** @param path where people see it */
export function writableFault(path: string, { mode }: Owned, what: string): SetupError | undefined {
  if (process.getuid === undefined || (mode & WRITABLE_BY_OTHERS) === 0) return undefined
  const who = (mode & WRITABLE_BY_EVERYBODY) === 0 ? 'its group' : 'everybody'
  return keyError(
    'key-file-permissions',
    `${who} can write to this ${what} (mode ${octal(mode)}), and so authorize any key: run \`chmod go-w ${shellQuoted(path)}\`, ` +
      'in a Kubernetes volume set `defaultMode: 0444`, or pass `strictModes: false` where that is meant',
    { file: path },
  )
}

/** The kubelet's directory, link and generation: of root, or of ourselves. No other user can make such. */
export function isTrustedOwner({ uid }: Owned): boolean {
  return uid === 0 || uid === process.getuid?.()
}

/**
 * Directories on the way to a file or directory, through whatever links, in which somebody else could put another in its
 * place: everybody can write there, and it is not sticky as /tmp is.
 *
 * @param holder what the directory that holds the last file is: `open` to the group is a fault as well, or not
 */
export async function wayFaults(
  path: string,
  holder: 'group may write' | 'owner alone may write',
): Promise<SetupError[]> {
  if (process.getuid === undefined) return []
  const way = await directoriesTo(resolve(path))
  const faults: SetupError[] = []
  for (const [index, directory] of way.entries()) {
    const { mode } = await stat(directory)
    const isLast = index === way.length - 1
    const unwanted = isLast && holder === 'owner alone may write' ? WRITABLE_BY_OTHERS : WRITABLE_BY_EVERYBODY
    if ((mode & unwanted) === 0 || (mode & STICKY) !== 0) continue
    const right = unwanted === WRITABLE_BY_OTHERS ? 'go-w' : 'o-w'
    faults.push(
      keyError(
        'key-file-permissions',
        `others can write to ${directory} (mode ${octal(mode)}), and so put something else here: run ` +
          `\`chmod ${right} ${shellQuoted(directory)}\`, or pass \`strictModes: false\` where that is meant`,
        { file: path },
      ),
    )
  }
  return faults
}

/** The directories in which names are looked up on the way to a path, those above a mount point left out. */
async function directoriesTo(path: string): Promise<string[]> {
  const visited: string[] = []
  /** since the last link: a mount point among them cannot be replaced from above */
  let segment: string[] = []
  let at: string = sep
  let remaining = path.split(sep).filter((part) => part !== '')
  for (let links = 0; remaining.length > 0; ) {
    const [name = '', ...rest] = remaining
    remaining = rest
    if (name === '.') continue
    if (name === '..') {
      at = dirname(at)
      continue
    }
    const next = join(at, name)
    const entry = await lstat(next)
    segment.push(at)
    if (entry.isSymbolicLink()) {
      if (++links > MAX_LINKS) throw Object.assign(new Error('too many links'), { code: 'ELOOP' })
      const target = await readlink(next)
      if (target.startsWith(sep)) at = sep
      remaining = [...target.split(sep).filter((part) => part !== ''), ...remaining]
      visited.push(...segment)
      segment = []
      continue
    }
    if (entry.dev !== (await stat(at)).dev) segment = []
    at = next
  }
  return [...visited, ...segment]
}

export function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8)}`
}

/** A path as a shell takes it, whatever is in its name. */
export function shellQuoted(path: string): string {
  if (/^[\w@%+:,./][\w@%+:,./-]*$/.test(path)) return path
  if (!/[\p{C}\p{Zl}\p{Zp}]/u.test(path)) return `'${path.replaceAll("'", `'\\''`)}'`
  const escaped = path.replace(/[\p{C}\p{Zl}\p{Zp}'\\]/gu, (character) =>
    Array.from(Buffer.from(character), (octet) => `\\x${octet.toString(16).padStart(2, '0')}`).join(''),
  )
  return `$'${escaped}'`
}
