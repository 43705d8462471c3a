import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'

/** Runs the installer where no program and no cache can be found, so that it has nothing to install with. */
function install(environment: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'install-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const env = { PATH: folder, HOME: folder, XDG_CACHE_HOME: folder, ...environment }
  const { status, stderr } = spawnSync(process.execPath, ['tools/brokers/install.mjs'], { env, encoding: 'utf8' })
  return { status, lines: stderr.trim().split('\n'), left: readdirSync(folder) }
}

it('has nothing to do when every address is given', () => {
  const given = { TEST_AMQP_URL: 'a', TEST_REDIS_URL: 'b', TEST_KAFKA_BROKERS: 'c' }
  const { status, lines } = install(given)
  expect(status).toBe(0)
  expect(lines).toHaveLength(3)
  for (const variable of Object.keys(given)) expect(lines.join('\n')).toContain(variable)
})

// Where a Docker engine answers, that is what it says instead.
it('names what is missing when it cannot install, and leaves the rest to the tests', () => {
  const { status, lines, left } = install({ TEST_AMQP_URL: 'a', DOCKER_HOST: 'tcp://127.0.0.1:1' })
  expect(status).toBe(0)
  expect(left).toEqual([])
  // With an engine at the usual socket there is nothing to install.
  expect(lines.join('\n')).toMatch(/redis-server[\s\S]*Java 17|Docker engine answers/)
})
