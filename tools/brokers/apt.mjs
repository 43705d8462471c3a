/** Installing with apt for the tests: as root only, and without a service starting now or at the next boot. */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { findProgram } from './programs.mjs'

export function say(text) {
  process.stderr.write(`${text}\n`)
}

export async function installWithApt(packages) {
  const command = `apt-get update && apt-get install --no-install-recommends ${packages.join(' ')}`
  const apt = findProgram('apt-get')
  if (apt === undefined) {
    say(`no apt-get here: install what stands for Debian's ${packages.join(', ')} in your own way`)
    return
  }
  if (process.getuid?.() !== 0) {
    say(`not root, so nothing is installed; to do it: sudo sh -c '${command}'`)
    return
  }
  const unitsBefore = presentUnits()
  const allowServices = forbidServices()
  const stay = () => undefined
  // apt gets Ctrl+C too and ends; this process stays to put the policy back.
  process.on('SIGINT', stay)
  try {
    await run('apt-get update', apt, ['-q', 'update'])
    const args = ['-q', '-y', '--no-install-recommends', 'install', ...packages]
    await run(`apt-get install ${packages.join(' ')}`, apt, args)
  } catch (error) {
    say(error.message)
  } finally {
    process.off('SIGINT', stay)
    allowServices()
  }
  const fresh = presentUnits().filter((unit) => !unitsBefore.includes(unit))
  const systemctl = findProgram('systemctl')
  if (systemctl !== undefined && fresh.length > 0) spawnSync(systemctl, ['disable', '--quiet', ...fresh])
}

/** Where apt is set up to get Debian's own packages from; undefined on another system. */
export async function debianMirror() {
  const apt = findProgram('apt-get')
  if (apt === undefined) return undefined
  const printed = await run(undefined, apt, [
    'indextargets',
    '--format',
    '$(ORIGIN)|$(LABEL)|$(REPO_URI)',
    'Created-By: Packages',
  ])
  const lines = printed.split('\n').map((line) => line.split('|'))
  return lines.find(([origin, label]) => origin === 'Debian' && label === 'Debian')?.[2]
}

/** Runs a program, says how long it has been at it when that is long, and gives what it printed. */
export function run(title, program, args) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(0)} s`
  if (title !== undefined) say(`${title} …`)
  return new Promise((resolve, reject) => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const timer = setInterval(() => title !== undefined && say(`${title}: ${seconds()} …`), 10_000)
    let printed = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        printed += text
      })
    }
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearInterval(timer)
      if (title !== undefined) say(`${title}: ${code === 0 ? 'done' : 'failed'} after ${seconds()}`)
      if (code === 0) return resolve(printed)
      const end = printed.trimEnd().split('\n').slice(-15).join('\n')
      reject(new Error(`${program} ended with ${signal ?? code}:\n${end}`))
    })
  })
}

/** Debian's maintainer scripts ask policy-rc.d before they start a service; 101 forbids it. */
function forbidServices() {
  const policy = '/usr/sbin/policy-rc.d'
  const aside = `${policy}.before-queue-key-auth`
  if (existsSync(policy)) renameSync(policy, aside)
  writeFileSync(policy, '#!/bin/sh\nexit 101\n')
  chmodSync(policy, 0o755)
  return () => {
    rmSync(policy)
    if (existsSync(aside)) renameSync(aside, policy)
  }
}

/** These would listen after the next boot, two of them on every interface. */
function presentUnits() {
  return ['rabbitmq-server.service', 'redis-server.service', 'epmd.service', 'epmd.socket'].filter((unit) =>
    existsSync(`/lib/systemd/system/${unit}`),
  )
}
