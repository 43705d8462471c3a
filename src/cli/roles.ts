import { readdir, readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { isAuthorizedKeysFile, isOwnFile } from '../authorized-keys/file-names.ts'
import { SetupError } from '../errors.ts'
import { shellQuoted } from '../files/modes.ts'
import { containsPrivateKey } from '../keys/private-material.ts'
import { readPublicKey } from '../keys/public-key.ts'
import { quote } from '../text.ts'
import { isServiceName } from '../token.ts'
import { CommandError, EXIT, NAME } from './output.ts'

/** What an argument of a command is. */
export type Role = 'dir' | 'service' | 'queue' | 'key file' | 'key' | 'private key file'

/** An argument as it stands on the command line: `<dir>`, or an option such as `--service`. */
export interface Argument {
  readonly role: Role
  readonly value: string
  /** where it is no positional argument, the option's name */
  readonly option?: string
}

/** What a text looks like, to whoever sees the file system. */
type Kind =
  | 'key directory'
  | 'directory'
  | 'authorized_keys file'
  | 'public key file'
  | 'private key file'
  | 'file'
  | 'fingerprint'
  | 'key id'
  | 'address'
  | 'list of queue patterns'
  | 'token'
  | 'name'
  | 'text'

const WANTED: Readonly<Record<Role, string>> = {
  dir: 'a key directory or authorized_keys file',
  service: 'the name of a service',
  queue: 'the name of a queue',
  'key file': 'a public key file',
  key: 'a fingerprint SHA256:…, a key id kid:… or a public key file',
  'private key file': 'a private key file',
}

/** What a text can be. A service or a queue may have the name of whatever happens to lie here. */
const CANNOT_BE_A_NAME: readonly Kind[] = ['fingerprint', 'key id', 'token', 'text']
const FITS: Readonly<Record<Role, (kind: Kind) => boolean>> = {
  dir: (kind) => ['key directory', 'directory', 'authorized_keys file', 'file'].includes(kind),
  service: (kind) => ![...CANNOT_BE_A_NAME, 'address', 'list of queue patterns'].includes(kind),
  queue: (kind) => kind === 'text' || !CANNOT_BE_A_NAME.includes(kind),
  'key file': isFile,
  key: (kind) => kind === 'fingerprint' || kind === 'key id' || isFile(kind),
  'private key file': isFile,
}

/** The same where it is asked what somebody may have meant. */
const MEANT: Readonly<Record<Role, (kind: Kind) => boolean>> = {
  ...FITS,
  dir: (kind) => kind !== 'file' && FITS.dir(kind),
  service: (kind) => kind === 'name',
  queue: (kind) => kind === 'name' || kind === 'text' || kind === 'list of queue patterns',
}

function isFile(kind: Kind): boolean {
  return kind.endsWith('file')
}

/**
 * Says which argument looks like what, where one cannot be what it stands for. Otherwise nothing happens, and what is wrong
 * with an argument of the right kind is said by whoever reads it.
 *
 * @throws CommandError
 */
export async function checkRoles(command: string, args: readonly Argument[]): Promise<void> {
  const kinds = await Promise.all(args.map(({ value }) => kindOf(value)))
  const wrong = args.findIndex(({ role }, index) => !FITS[role](kinds[index] as Kind))
  if (wrong < 0) return
  const { role, value } = args[wrong] as Argument
  const order = orderThatFits(args, kinds)
  // A file that does not exist is an error of its own.
  const isTelling = tells(kinds[wrong] as Kind) || role === 'key'
  if (order === undefined && !isTelling) return
  const looks = looksLike(
    args.map(({ value }) => value),
    kinds,
  )
  const usage = order === undefined ? [] : [`write ${[NAME, command, ...spelled(args, order)].join(' ')}`]
  const absence = tells(kinds[wrong] as Kind) ? '' : ', nor is there such a file'
  throw new CommandError(`${quote(value)} is not ${WANTED[role]}${role === 'service' ? '' : absence}`, {
    hint: [...looks, ...usage].join('; ') || `write ${NAME} ${command} with ${WANTED[role]}`,
    exitCode: EXIT.usage,
  })
}

/** What arguments look like, where their number is wrong; empty when none looks like anything. */
export async function looksOf(values: readonly string[]): Promise<string> {
  return looksLike(values, await Promise.all(values.map(kindOf))).join(', ')
}

function looksLike(values: readonly string[], kinds: readonly Kind[]): string[] {
  return values.flatMap((value, index) => {
    const kind = kinds[index] as Kind
    return tells(kind) ? [`${quote(value)} looks like ${/^[aeio]/.test(kind) ? 'an' : 'a'} ${kind}`] : []
  })
}

function tells(kind: Kind): boolean {
  return kind !== 'name' && kind !== 'text'
}

/** The same values in the order in which each fits, with as few moved as can be; undefined when there is none. */
function orderThatFits(args: readonly Argument[], kinds: readonly Kind[]): readonly number[] | undefined {
  return permutations(args.map((_, index) => index)).find((order) =>
    args.every(({ role }, position) => MEANT[role](kinds[order[position] as number] as Kind)),
  )
}

function permutations(indexes: readonly number[]): number[][] {
  if (indexes.length <= 1) return [[...indexes]]
  return indexes.flatMap((first) =>
    permutations(indexes.filter((index) => index !== first)).map((rest) => [first, ...rest]),
  )
}

function spelled(args: readonly Argument[], order: readonly number[]): string[] {
  return args.flatMap(({ option }, position) => {
    const word = shellQuoted(args[order[position] as number]?.value ?? '')
    return option === undefined ? [word] : [option, word]
  })
}

async function kindOf(value: string): Promise<Kind> {
  if (/^SHA256:/i.test(value)) return 'fingerprint'
  if (/^kid:/.test(value)) return 'key id'
  const stats = await stat(value).catch(() => undefined)
  if (stats?.isDirectory()) {
    const names = await readdir(value).catch(() => [])
    return names.some(isOwnFile) ? 'key directory' : 'directory'
  }
  if (stats !== undefined) return fileKind(value, stats.isFile() && stats.size < 65_536)
  if (/^(?:amqps?|kafka|redis|memory):/.test(value)) return 'address'
  if (/^eyJ[\w-]+\./.test(value)) return 'token'
  if (/[*?!,]/.test(value)) return 'list of queue patterns'
  return isServiceName(value) ? 'name' : 'text'
}

async function fileKind(path: string, isSmall: boolean): Promise<Kind> {
  if (isAuthorizedKeysFile(basename(path))) return 'authorized_keys file'
  const content = isSmall ? await readFile(path).catch(() => undefined) : undefined
  if (content === undefined) return 'file'
  if (containsPrivateKey(content)) return 'private key file'
  try {
    readPublicKey(content)
    return 'public key file'
  } catch (error) {
    if (error instanceof SetupError) return 'file'
    throw error
  }
}
