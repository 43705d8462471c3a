// Compiles the benchmark, since the oldest Node.js it runs on knows no TypeScript, and starts it.
//
//   npm run bench [-- --quick]

import { spawnSync } from 'node:child_process'
import { copyFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const built = new URL('node_modules/.cache/queue-key-auth-bench/', root)

const { status } = spawnSync('npx', ['tsc', '-p', 'tsconfig.bench.json'], {
  cwd: fileURLToPath(root),
  stdio: 'inherit',
})
if (status !== 0) process.exit(status ?? 1)
for (const name of readdirSync(new URL('test/brokers/', root))) {
  if (name.endsWith('.mjs')) copyFileSync(new URL(`test/brokers/${name}`, root), new URL(`test/brokers/${name}`, built))
}
await import(new URL('bench/main.js', built).href)
