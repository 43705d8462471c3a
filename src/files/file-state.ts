import { stat } from 'node:fs/promises'

/** All there is to see of a file or directory from outside: another text after a change, or why there is nothing to see. */
export async function fileState(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'reading failed'
  }
}
