/**
 * Other releases of Debian, each in a root folder of its own: their packages bring brokers of other versions to a machine
 * without Docker. A program runs inside with `chroot`, in a mount namespace of its own, where the machine's folder for
 * temporary files is at the same path. So nothing of the machine changes, and no mount stays behind.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'

/** What the roots hold. Valkey is not in the oldest. */
function packagesOf(release) {
  return ['rabbitmq-server', 'redis-server', ...(release === 'bookworm' ? [] : ['valkey-server'])]
}

/** The releases to take, the most wanted first: the newest brokers, and those of the stable release where that fails. */
export const releases = ['sid', 'trixie']

export function cacheFolder() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'queue-key-auth')
}

function rootFolder(release) {
  return join(cacheFolder(), `debian-${release}`)
}

/**
 * The root folder whose programs are used: of the release that `TEST_DEBIAN` names, else of the newest that is here.
 * undefined: the machine's own programs are used, as `TEST_DEBIAN=machine` demands.
 */
export function installedRoot() {
  const wanted = process.env.TEST_DEBIAN
  if (wanted === 'machine') return undefined
  if (wanted) {
    const folder = rootFolder(wanted)
    if (isUsable(folder)) return folder
    throw new Error(
      `TEST_DEBIAN=${wanted}: ${folder} is no root folder that can be used; run node tools/brokers/install.mjs`,
    )
  }
  return releases.map(rootFolder).find(isUsable)
}

/** A program of a root folder as a command: a program and its first arguments. */
export function insideRoot(root, path) {
  const mounts = [
    'mount --rbind /proc "$1/proc"',
    'mount --rbind /dev "$1/dev"',
    'mkdir -p "$1$2"',
    'mount --rbind "$2" "$1$2"',
    'root=$1',
    'shift 2',
    'exec chroot "$root" "$@"',
  ]
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', mounts.join('\n'), 'sh', root, tmpdir(), path]
}

const usable = new Map()

/** Whether a program can be run in it: it is whole, and this user may mount. */
function isUsable(folder) {
  if (!usable.has(folder)) usable.set(folder, isWhole(folder) && canRun(folder))
  return usable.get(folder)
}

function isWhole(folder) {
  try {
    accessSync(join(folder, 'usr/bin/redis-server'), constants.X_OK)
    return true
  } catch {
    return false
  }
}

function canRun(folder) {
  const [program, ...args] = insideRoot(folder, '/bin/true')
  return spawnSync(program, args).status === 0
}

/**
 * Brings a release's packages into its root folder, which appears all at once, so that a half is never used.
 *
 * @param run runs a program and resolves, or rejects with the end of its output
 */
export async function makeRoot(release, mirror, run) {
  const folder = rootFolder(release)
  if (isUsable(folder)) return folder
  const partial = `${folder}.partial-${process.pid}`
  mkdirSync(cacheFolder(), { recursive: true })
  const names = `--include=${packagesOf(release).join(',')}`
  try {
    await run(`Debian ${release} into ${folder}`, 'debootstrap', ['--variant=minbase', names, release, partial, mirror])
    copyFileSync('/etc/hosts', join(partial, 'etc/hosts'))
    rmSync(folder, { recursive: true, force: true })
    renameSync(partial, folder)
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  usable.delete(folder)
  return isUsable(folder) ? folder : undefined
}
