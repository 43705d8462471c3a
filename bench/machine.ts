import { readFileSync } from 'node:fs'
import { cpus, platform, release, totalmem } from 'node:os'
import { opensslVersion } from './tokens/openssl.ts'

const LIBRARIES = ['jose', 'fast-jwt', '@node-rs/jsonwebtoken', 'amqplib', 'kafkajs', 'ioredis']

/** Where a run took place, as lines of a list. */
export function machineLines(root: URL, run: string): string[] {
  const facts = [
    ['processor', `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} CPUs`],
    ['memory', `${Math.round(totalmem() / 2 ** 30)} GiB`],
    ['system', `${platform()} ${release()}`],
    ['Node.js', `${process.version}, OpenSSL ${process.versions.openssl}`],
    ['openssl speed', opensslVersion()],
    ...LIBRARIES.map((name) => [name, versionOf(root, name)]),
    ['run', run],
  ]
  return facts.map(([what, value]) => `- ${what}: ${value}`)
}

function versionOf(root: URL, name: string): string {
  const file = new URL(`node_modules/${name}/package.json`, root)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
