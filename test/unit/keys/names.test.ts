import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { AuthorizedKeys, FileKeyStore, type SetupError, Signer } from '../../../src/index.ts'

const ESCAPES = 'a\r\nb\u001b[31mc\u202ed\u2028e\u009bf'

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'queue-key-auth-names-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

/** What an error says goes to logs and terminals. */
describe('names of files in errors', () => {
  it('bring no line breaks, escape sequences and marks of direction along; letters stay as they are', async () => {
    const path = await directory()
    for (const name of [`${ESCAPES}.authorized_keys`, `${ESCAPES}.pem`]) await writeFile(join(path, name), 'é')
    const errors = await Promise.all(
      [
        AuthorizedKeys.fromDirectory(path),
        new FileKeyStore().fill(path),
        Signer.fromFile(join(path, `${ESCAPES}-é.key`), { service: 'checkout' }),
      ].map((promise) =>
        promise.then(
          () => undefined,
          (error: SetupError) => error,
        ),
      ),
    )
    for (const error of errors) {
      expect(error?.message).toMatch(/^[^\p{C}\p{Zl}\p{Zp}]+$/u)
      expect(error?.position?.file).toContain(ESCAPES)
    }
    expect(errors[2]?.message).toContain('-é.key')
  })
})
