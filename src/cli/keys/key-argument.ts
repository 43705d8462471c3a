import { parseLines } from '../../authorized-keys/lines.ts'
import { SetupError } from '../../errors.ts'
import { readPublicKeyFile } from '../../keys/key-files.ts'
import type { PublicKey } from '../../keys/public-key.ts'
import { readText } from './folder.ts'

/** A public key from its file, which may also be the line that `queue-key-auth keygen` printed. */
export async function readKeyArgument(path: string): Promise<PublicKey> {
  try {
    return await readPublicKeyFile(path)
  } catch (error) {
    if (!(error instanceof SetupError) || error.code !== 'key-malformed') throw error
    const key = onlyKeyOf(await readText(path).catch(() => undefined), path)
    if (key === undefined) throw error
    return key
  }
}

function onlyKeyOf(text: string | undefined, path: string): PublicKey | undefined {
  try {
    const [allow, ...others] = parseLines(text ?? '', path)
    return others.length === 0 ? allow?.key : undefined
  } catch {
    // Then it is neither, and what the first reader had to say is of more use.
    return undefined
  }
}
