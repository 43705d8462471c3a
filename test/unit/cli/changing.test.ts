import { chmod, lstat, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { parseLines } from '../../../src/authorized-keys/lines.ts'
import { changeFile } from '../../../src/cli/keys/change-file.ts'
import { decide } from '../../../src/cli/keys/decide.ts'
import { withValidBefore } from '../../../src/cli/keys/line-text.ts'
import { run } from '../../../src/cli/program.ts'
import { testKey } from '../authorized-keys/keys.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'queue-key-auth-changing-'))
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

const service = fc.stringMatching(/^[a-z]([a-z._/-]{0,8}[a-z])?$/)
const part = fc.stringMatching(/^[a-z]{1,5}$/)
const name = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.'))
/** a list of patterns and a name that it matches */
const granted = fc
  .tuple(name, fc.array(name, { maxLength: 3 }))
  .chain(([queue, others]) =>
    fc
      .constantFrom(queue, '**', queue.replace(/[a-z]+$/, '*'), queue.replace(/^./, '?'))
      .map((pattern) => ({ queue, queues: [...others, pattern].join() })),
  )

describe('authorize and revoke', () => {
  it('what was authorized is allowed, and what was revoked is not, whatever else there is', async () => {
    const grant = fc.record({ service, granted })
    await fc.assert(
      fc.asyncProperty(fc.array(grant, { minLength: 1, maxLength: 4 }), fc.nat(3), async (grants, pick) => {
        const keys = grants.map(() => testKey())
        await rm(join(folder, 'authorized_keys'), { force: true })
        await rm(join(folder, 'revoked_keys'), { force: true })
        for (const [index, { service, granted }] of grants.entries()) {
          const file = join(folder, `${index}.pub`)
          await writeFile(file, `${keys[index]?.line}\n`)
          expect(await run(['authorize', folder, service, file, '--queues', granted.queues])).toBe(0)
          expect(await run(['can', folder, service, granted.queue])).toBe(0)
        }
        const text = await readFile(join(folder, 'authorized_keys'), 'utf8')
        expect(parseLines(text, 'f')).toHaveLength(grants.length)
        const revoked = pick % grants.length
        expect(await run(['revoke', folder, keys[revoked]?.publicKey.fingerprint ?? ''])).toBe(0)
        const revokedKeys = await readFile(join(folder, 'revoked_keys'), 'utf8')
        const now = AuthorizedKeys.parse(text, { revokedKeys })
        for (const [index, { service, granted }] of grants.entries()) {
          const byOther = AuthorizedKeys.parse(
            text
              .split('\n')
              .filter((line) => !line.includes(keys[revoked]?.line ?? ''))
              .join('\n'),
          )
          const expected = index !== revoked || byOther.can(service, granted.queue)
          expect(now.can(service, granted.queue)).toBe(expected)
          expect(await run(['can', folder, service, granted.queue])).toBe(expected ? 0 : 1)
        }
      }),
      { numRuns: 25 },
    )
  })

  it('loses neither of two changes at a time', async () => {
    const keys = Array.from({ length: 8 }, () => testKey())
    const exits = await Promise.all(
      keys.map(async (key, index) => {
        const file = join(folder, `${index}.pub`)
        await writeFile(file, key.line)
        return run(['authorize', folder, `s${index}`, file, '--queues', 'x'])
      }),
    )
    const allows = parseLines(await readFile(join(folder, 'authorized_keys'), 'utf8'), 'f')
    const added = allows.flatMap(({ line }) => line.services)
    expect(added.sort()).toEqual(exits.flatMap((exit, index) => (exit === 0 ? [`s${index}`] : [])))
    expect(added.length).toBeGreaterThan(0)
  })

  it('says the same as AuthorizedKeys.can()', () => {
    const options = fc.constantFrom(
      '',
      ',valid-before="2020-01-01"',
      ',valid-after="2100-01-01"',
      ',valid-after="2020-01-01"',
    )
    const line = fc.tuple(fc.constantFrom('a', 'b', 'a,b'), granted, options, fc.nat(2))
    const keys = [testKey(), testKey(), testKey()]
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 4 }), name, fc.boolean(), (lines, other, isRevoked) => {
        const text = lines.map(([who, { queues }, more, key]) => `${who} queues="${queues}"${more} ${keys[key]?.line}`)
        const revokedKeys = isRevoked ? (keys[0]?.publicKey.fingerprint ?? '') : ''
        const authorized = AuthorizedKeys.parse(text.join('\n'), { revokedKeys })
        for (const queue of [other, ...lines.map(([, { queue }]) => queue)]) {
          for (const who of ['a', 'b', 'c']) {
            if (authorized.snapshot === undefined) throw new Error('a parsed text has a snapshot')
            const decision = decide(authorized.snapshot, who, queue, Math.floor(Date.now() / 1000))
            expect(decision?.code === undefined).toBe(authorized.can(who, queue))
          }
        }
      }),
    )
  })
})

describe('changeFile', () => {
  it('keeps the mode, leaves nothing else behind, and keeps the file when the change fails', async () => {
    const file = join(folder, 'f')
    await writeFile(file, 'old')
    await chmod(file, 0o640)
    expect(await changeFile(file, (text) => `${text}, new`)).toBe(true)
    expect(await changeFile(file, () => undefined)).toBe(false)
    const failure = new Error('no')
    const fails = (): never => {
      throw failure
    }
    await expect(changeFile(file, fails)).rejects.toBe(failure)
    expect([await readFile(file, 'utf8'), (await stat(file)).mode & 0o777]).toEqual(['old, new', 0o640])
    expect(await readdir(folder)).toEqual(['f'])
  })

  it('refuses while another change is under way', async () => {
    const file = join(folder, 'f')
    await writeFile(join(folder, '.f.lock'), '')
    await expect(changeFile(file, () => 'new')).rejects.toMatchObject({ name: 'CommandError', exitCode: 1 })
    expect(await readdir(folder)).toEqual(['.f.lock'])
  })

  it('writes where a link leads, and leaves the volumes of Kubernetes alone', async () => {
    await writeFile(join(folder, 'real'), 'old')
    await symlink('real', join(folder, 'link'))
    await changeFile(join(folder, 'link'), () => 'new')
    expect((await lstat(join(folder, 'link'))).isSymbolicLink()).toBe(true)
    expect(await readFile(join(folder, 'real'), 'utf8')).toBe('new')
    await symlink('..data/authorized_keys', join(folder, 'authorized_keys'))
    await expect(changeFile(join(folder, 'authorized_keys'), () => 'new')).rejects.toMatchObject({ exitCode: 1 })
    expect(await readlink(join(folder, 'authorized_keys'))).toBe('..data/authorized_keys')
  })
})

it('sets valid-before in the options and nowhere else', () => {
  const { line } = testKey()
  const end = Date.parse('2027-01-01T12:30Z') / 1000
  for (const options of [
    'queues="x"',
    'valid-before="2026-01-01",queues="x"',
    'queues="x",valid-before="2026-01-01",valid-after="2025-01-01"',
  ]) {
    const text = `s\t${options}  ${line} comment valid-before="2026-01-01" queues="y"`
    const changed = withValidBefore(text, end)
    const [allow] = parseLines(changed, 'f')
    expect([allow?.line.validBefore, allow?.line.queues.patterns]).toEqual([end, ['x']])
    expect(changed.slice(changed.indexOf(line))).toBe(text.slice(text.indexOf(line)))
  }
})
