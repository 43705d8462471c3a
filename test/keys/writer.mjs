// Swaps a directory of keys as the kubelet does, at a given pace, until it is killed. Every generation carries its number
// in each of its files; three of them take turns, so that the names of old generations come again.
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [directory, pause] = process.argv.slice(2)
const generations = JSON.parse(readFileSync(0, 'utf8'))
const waiting = new Int32Array(new SharedArrayBuffer(4))

let swaps = 0
process.once('SIGTERM', () => process.exit(0))
setInterval(() => process.stdout.write(`${swaps}\n`), 500)

function swap() {
  const files = generations[swaps % generations.length]
  const name = `..generation-${swaps % 3}`
  rmSync(join(directory, name), { recursive: true, force: true })
  mkdirSync(join(directory, name))
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, name, file), text)
  symlinkSync(name, join(directory, '..data_tmp'))
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
  rmSync(join(directory, `..generation-${(swaps + 2) % 3}`), { recursive: true, force: true })
  swaps++
}

swap()
process.stdout.write('ready\n')
for (;;) {
  swap()
  Atomics.wait(waiting, 0, 0, Number(pause))
  if (swaps % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
}
