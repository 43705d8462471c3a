import { mkdir, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readGeneration } from '../../src/authorized-keys/generation.ts'
import { AuthorizedKeys, Signer, Verifier } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { openSshPublicKey, publicKeyOf } from '../../src/keys/public-key.ts'
import { follow, heard, MountedDirectory, plainDirectory, replaceFile } from './directories.ts'

const first = Signer.generate('checkout')
const stolenKey = generatePrivateKey()
const stolen = Signer.fromKey(stolenKey, { service: 'billing' })
const stolenLine = openSshPublicKey(publicKeyOf(stolenKey))
const stolenPem = publicKeyOf(stolenKey).keyObject.export({ type: 'spki', format: 'pem' }).toString()
const line = (signer: Signer): string => `${signer.authorizedKeysLine('orders')}\n`
const authorized = line(first) + line(stolen)
const message = { destination: 'memory:orders', payload: Buffer.from('1') }

const verdictOn = (keys: AuthorizedKeys, signer: Signer): string => {
  const result = new Verifier({ keys, replay: 'off' }).check({
    queue: 'orders',
    deliveredBy: [message.destination],
    token: signer.sign(message),
    payload: message.payload,
    properties: {},
    headers: {},
  })
  return 'code' in result ? result.code : 'authorized'
}

/** What a directory says at the start, of itself and of the key that was stolen. */
async function start(directory: string): Promise<{ code: string | undefined; files: string[]; isRevoked: boolean }> {
  const error = await AuthorizedKeys.fromDirectory(directory).catch((reason: unknown) => reason)
  const code = error instanceof Error ? (error as { code?: string }).code : undefined
  if (error instanceof AuthorizedKeys) error.close()
  const { faults, revocations } = await readGeneration(directory)
  const isRevoked = revocations.has(stolen.fingerprint) || revocations.has(`kid:${stolen.keyId}`)
  return { code, files: faults.map(({ position }) => position?.file ?? ''), isRevoked }
}

describe('a file that is meant to revoke', () => {
  const NAMES = [
    'revoked_key',
    'revoked_keys.txt',
    'revoked',
    'revoked-keys',
    'revoked keys',
    'revokedkeys',
    'REVOKED_KEYS',
    'Revoked_Keys',
    'revoked.keys',
    'revoked_keys.pub',
    'revoked_keys.json',
    'revoked_keys.new',
    'revoked_keys.rpmnew',
    'revoked_keys.2026',
    'revoked_keys2',
    'revoked_keys (copy)',
    'revocations',
    'revocation_list.txt',
    'revoke_keys',
    'revokd_keys',
    'revkoed_keys',
    'rewoked_keys',
    'removed_keys',
    'keys_revoked',
    'billing.revoked',
    'billing.revoked_keys',
    '.revoked_keys',
    '.revoked_keys.txt',
    'checkout.revoked.pub',
    'stolen.pub',
    'compromised_keys',
    'blocklist',
    'unauthorized_keys',
    'leaked',
  ]

  it.each(NAMES)('%s: an error, and it revokes all the same', async (name) => {
    const directory = await plainDirectory({ authorized_keys: authorized })
    await writeFile(join(directory, name), `${stolenLine} lost laptop\n`)
    expect(await start(directory)).toEqual({
      code: 'authorized-keys-invalid',
      files: [join(directory, name)],
      isRevoked: true,
    })
  })

  it.each([
    ['a fingerprint', `# 3 a.m.\n${stolen.fingerprint} billing\n`],
    ['a key id', `kid:${stolen.keyId}\n`],
    ['the key as PEM', stolenPem],
    ['what is wrong besides', `nonsense\n${stolen.fingerprint}\n`],
  ])('revokes by %s, under a wrong name', async (_, text) => {
    const directory = await plainDirectory({ authorized_keys: authorized, revoked_key: text })
    expect(await start(directory)).toMatchObject({ code: 'authorized-keys-invalid', isRevoked: true })
  })

  it('is known by what is in it, whatever it is called', async () => {
    const directory = await plainDirectory({ authorized_keys: authorized, emergency: `${stolen.fingerprint}\n` })
    expect(await start(directory)).toMatchObject({ code: 'authorized-keys-invalid', isRevoked: true })
  })

  it.each(['revoked', 'revoked_keys.d', 'revoked_keys', 'compromised'])('can be the directory %s', async (name) => {
    const directory = await plainDirectory({ authorized_keys: authorized })
    await mkdir(join(directory, name))
    await writeFile(join(directory, name, 'billing.pub'), stolenLine)
    expect(await start(directory)).toMatchObject({
      isRevoked: true,
      code: expect.stringMatching(/^(authorized|key-file)/),
    })
  })

  it('takes effect while consumers run, and goes when it is renamed', async () => {
    heard()
    const directory = await plainDirectory({ authorized_keys: authorized })
    const keys = await follow(directory)
    await replaceFile(directory, 'revoked_key', `${stolen.fingerprint}\n`)
    await expect.poll(() => verdictOn(keys, stolen)).toBe('key-revoked')
    expect(keys.health).toMatchObject({ state: 'broken', error: { file: join(directory, 'revoked_key') } })
    expect(verdictOn(keys, first)).toBe('authorized')
    await unlink(join(directory, 'revoked_key'))
    await replaceFile(directory, 'revoked_keys', `${stolen.fingerprint}\n`)
    await expect.poll(() => keys.health.state).toBe('ok')
    expect(verdictOn(keys, stolen)).toBe('key-revoked')
  })
})

describe('a file that is meant to authorize, or to be a policy', () => {
  it.each([
    'authorized_key',
    'authorised_keys',
    'autorized_keys',
    'authorized_keys2',
    'authorized_keys.txt',
    'authorized_keys.new',
    'authorized_keys.billing',
    'Authorized_Keys',
    'authorized-keys',
    'billing-authorized_keys',
    '.authorized_keys',
    'allowed_signers',
    'allowed_keys',
    'queue_policies',
    'queue-policy',
    'queue_polcy',
    'queue_policy.yaml',
  ])('%s: an error', async (name) => {
    const directory = await plainDirectory({ authorized_keys: authorized })
    await writeFile(join(directory, name), '# later\n')
    expect(await start(directory)).toMatchObject({
      code: 'authorized-keys-invalid',
      files: [join(directory, name)],
      isRevoked: false,
    })
  })

  it('is known by what is in it, whatever it is called', async () => {
    const other = line(Signer.generate('etl'))
    for (const [name, text] of [
      ['billing.keys', other],
      ['policy', 'orders rollout=observe\n'],
    ] as const) {
      const directory = await plainDirectory({ authorized_keys: authorized, [name]: `# ours\n${text}` })
      expect(await start(directory)).toMatchObject({ code: 'authorized-keys-invalid', files: [join(directory, name)] })
    }
  })
})

it('what editors and other programs leave behind is not looked at', async () => {
  const directory = await plainDirectory({ authorized_keys: authorized, revoked_keys: '# none\n' })
  const revoking = `${stolen.fingerprint}\n`
  for (const [name, text] of Object.entries({
    'revoked_keys~': revoking,
    'revoked_keys.bak': revoking,
    'revoked_keys.orig': revoking,
    'revoked_keys.old': revoking,
    'revoked_keys.~1~': revoking,
    '#revoked_keys#': revoking,
    '.revoked_keys.swp': revoking,
    '.revoked_keys.lock': revoking,
    '.revoked_keys.Xa3b9Q': revoking,
    '._revoked_keys': revoking,
    revoked_keys___jb_tmp___: revoking,
    'revoked_keys.rpmsave': revoking,
    'revoked_keys.dpkg-old': revoking,
    'authorized_keys~': authorized,
    'authorized_keys.save': authorized,
    'authorized_keys.2025-11-30': authorized,
    '#authorized_keys#': authorized,
    '.authorized_keys.kate-swp': authorized,
    'queue_policy.orig': 'orders rollout=observe\n',
    '4913': '',
    sedKx3Jq1: '',
    'README.md': `How to revoke a key: write its fingerprint into revoked_keys.\n${line(first)}`,
    'checkout.pub': stolenLine,
    CODEOWNERS: '* @security\n',
  })) {
    await writeFile(join(directory, name), text)
  }
  await symlink('someone@host.1234:1700000000', join(directory, '.#revoked_keys'))
  expect(await start(directory)).toEqual({ code: undefined, files: [], isRevoked: false })
})

describe('a file beside the ..data of a Kubernetes volume', () => {
  it.each([
    ['revoked_keys', `${stolen.fingerprint}\n`, true],
    ['revoked_key', `${stolen.fingerprint}\n`, true],
    ['authorized_keys', line(Signer.generate('etl')), false],
    ['etl.authorized_keys', line(Signer.generate('etl')), false],
    ['queue_policy', 'orders rollout=observe\n', false],
    ['etl.pub', stolenLine, false],
    ['emergency', `${stolen.fingerprint}\n`, true],
  ])('%s: an error, and what it revokes is revoked', async (name, text, isRevoked) => {
    heard()
    const mounted = await MountedDirectory.create({ 'checkout.authorized_keys': authorized })
    const keys = await follow(mounted.path)
    await writeFile(join(mounted.path, name), text)
    await expect.poll(() => keys.health.state).toBe('broken')
    expect(keys.health.error).toMatchObject({ code: 'authorized-keys-invalid', file: join(mounted.path, name) })
    expect(verdictOn(keys, stolen)).toBe(isRevoked ? 'key-revoked' : 'authorized')
    expect(await start(mounted.path)).toMatchObject({ code: 'authorized-keys-invalid', isRevoked })
    await unlink(join(mounted.path, name))
    await expect.poll(() => keys.health.state).toBe('ok')
  })

  it('a file that takes the place of a link into it, and a link that leads elsewhere', async () => {
    const mounted = await MountedDirectory.create({ authorized_keys: authorized, revoked_keys: '# none\n' })
    const elsewhere = await plainDirectory({ revoked_keys: `${stolen.fingerprint}\n` })
    await unlink(join(mounted.path, 'revoked_keys'))
    await writeFile(join(mounted.path, 'revoked_keys'), `${stolen.fingerprint}\n`)
    expect(await start(mounted.path)).toMatchObject({ code: 'authorized-keys-invalid', isRevoked: true })
    await unlink(join(mounted.path, 'revoked_keys'))
    await symlink(join(elsewhere, 'revoked_keys'), join(mounted.path, 'revoked_keys'))
    expect(await start(mounted.path)).toMatchObject({ code: 'authorized-keys-invalid', isRevoked: true })
  })

  it('is fine when it is none of this', async () => {
    const mounted = await MountedDirectory.create({ authorized_keys: authorized })
    await writeFile(join(mounted.path, 'README'), 'mounted from the ConfigMap authorized-keys\n')
    await symlink('..data/gone', join(mounted.path, 'gone'))
    expect(await start(mounted.path)).toMatchObject({ code: undefined, files: [] })
  })
})
