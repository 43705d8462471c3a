import { spawnSync } from 'node:child_process'
import type { Algorithm } from '../../src/keys/algorithms.ts'

const NAMES: Partial<Record<Algorithm, string>> = { Ed25519: 'ed25519', ES256: 'ecdsap256', RS256: 'rsa2048' }

/** What `openssl speed` takes for a signature, in CPU microseconds; undefined where it is not installed. */
export function opensslSpeed(algorithm: Algorithm, seconds: number): { sign: number; verify: number } | undefined {
  const name = NAMES[algorithm]
  if (name === undefined) return undefined
  const { stdout, status } = spawnSync('openssl', ['speed', '-mr', '-seconds', String(seconds), name], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  // +F2: RSA, +F4: ECDSA, +F6: EdDSA; the last two are signatures and verifications a second, or the seconds of one
  const line = /^\+F[246]:(.*)$/m.exec(stdout ?? '')?.[1]
  if (status !== 0 || line === undefined) return undefined
  const [sign, verify] = line.split(':').slice(-2).map(Number) as [number, number]
  const micros = (value: number): number => (value > 1 ? 1e6 / value : value * 1e6)
  return { sign: micros(sign), verify: micros(verify) }
}

export function opensslVersion(): string {
  return spawnSync('openssl', ['version'], { encoding: 'utf8' }).stdout?.trim() || 'not installed'
}
