import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runShell, temporaryFolder } from './command.ts'

const missing = ['ssh-keygen', 'openssl'].filter((tool) => {
  try {
    execFileSync(tool, [tool === 'openssl' ? 'version' : '-Q', 'sig'].slice(0, tool === 'openssl' ? 1 : 2), {
      stdio: 'ignore',
    })
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
})

/** A private key `k`, its public one `k.pub`. */
const MADE_BY = [
  ['ssh-keygen, Ed25519', 'ssh-keygen -q -t ed25519 -N "" -f k'],
  ['ssh-keygen, ECDSA', 'ssh-keygen -q -t ecdsa -b 384 -N "" -f k'],
  ['ssh-keygen, RSA', 'ssh-keygen -q -t rsa -b 3072 -N "" -f k'],
  ['ssh-keygen, PEM', 'ssh-keygen -q -t rsa -b 3072 -m PEM -N "" -f k'],
  ['openssl, Ed25519', 'openssl genpkey -algorithm ed25519 -out k && openssl pkey -in k -pubout -out k.pub'],
  [
    'openssl, P-256 as SEC1',
    'openssl ecparam -genkey -name prime256v1 -out k && openssl pkey -in k -pubout -out k.pub',
  ],
  [
    'openssl, RSA',
    'openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out k && openssl pkey -in k -pubout -out k.pub',
  ],
  [
    'openssl, encrypted',
    'openssl genpkey -algorithm ed25519 -aes256 -pass pass:secret -out k && openssl pkey -in k -passin pass:secret -pubout -out k.pub',
  ],
  ['keygen, with its line', 'queue-key-auth keygen s --queues q > k.pub && mv s.key k'],
] as const

describe.skipIf(missing.length > 0)('key files as other programs write them', () => {
  beforeAll(() => builtProgram())

  it.each(MADE_BY)('%s: authorized, then signing and verifying', async (_, make) => {
    await using place = await temporaryFolder()
    const line = [
      `umask 077; mkdir keys; ${make}`,
      'queue-key-auth authorize keys s k.pub --queues "q"',
      `echo '{"payload":"x"}' | queue-key-auth sign k --service s --to memory:q | queue-key-auth verify keys --queue q --json`,
    ].join(' && ')
    const { exitCode, stdout, stderr } = await runShell(line, {
      cwd: place.path,
      env: { QUEUE_KEY_AUTH_PASSPHRASE: 'secret' },
    })
    expect([exitCode, stderr]).toEqual([0, expect.not.stringContaining('secret')])
    expect(stdout).toContain('"outcome": "authorized"')
  })

  it.each(['Ed25519', 'ES256', 'RS256'])(
    'a %s key of ours: openssl derives its public half, and ssh-keygen prints the fingerprint that list does',
    async (alg) => {
      await using place = await temporaryFolder()
      const line = [
        `queue-key-auth keygen s --queues q --alg ${alg} > authorized_keys 2>/dev/null`,
        'openssl pkey -in s.key -pubout -out s.pem',
        `mkdir other && queue-key-auth authorize other s s.pem --queues q --alg ${alg} > /dev/null 2>&1`,
        'cmp other/authorized_keys authorized_keys',
        'cut -d " " -f 3- authorized_keys > s.pub && ssh-keygen -lf s.pub',
        'queue-key-auth list authorized_keys --json',
      ].join(' && ')
      const { exitCode, stdout } = await runShell(line, { cwd: place.path })
      expect(exitCode).toBe(0)
      const [, printed] = /^\d+ (SHA256:\S+)/.exec(stdout) ?? []
      expect(stdout).toContain(`"fingerprint": "${printed}"`)
    },
  )

  it('neither prints a private key nor leaves one readable, whatever is asked of it', async () => {
    await using place = await temporaryFolder()
    const line = [
      'mkdir keys; ssh-keygen -q -t ed25519 -N "" -f k; cp k keys/k.pem; cp k keys/authorized_keys',
      ...[
        'authorize keys s k --queues q',
        'revoke keys k',
        'check keys',
        'list keys',
        'can keys s q',
        'rotate keys s --do --new k',
      ],
    ].join('; queue-key-auth ')
    const { stdout, stderr } = await runShell(
      `${line}; cat k | queue-key-auth inspect; queue-key-auth verify keys --queue q < k; true`,
      {
        cwd: place.path,
      },
    )
    const secrets = execFileSync('sed', ['-n', '2,6p', join(place.path, 'k')], { encoding: 'utf8' })
      .trim()
      .split('\n')
    expect(secrets.length).toBeGreaterThan(3)
    for (const secret of secrets) expect(stdout + stderr).not.toContain(secret.slice(0, 40))
  })
})
