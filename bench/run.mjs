// Compiles the benchmark, since the oldest Node.js it runs on knows no TypeScript, and starts it.
//
//   npm run bench [-- [--quick] [--only tokens,rejecting,growth,rabbitmq,kafka,redis]]

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const built = new URL('node_modules/.cache/queue-key-auth-bench/', root)

const { status } = spawnSync('npx', ['tsc', '-p', 'tsconfig.bench.json'], {
  cwd: fileURLToPath(root),
  stdio: 'inherit',
})
if (status !== 0) process.exit(status ?? 1)
// What starting brokers takes besides.
mkdirSync(new URL('tools/brokers/', built), { recursive: true })
const others = readdirSync(new URL('tools/brokers/', root)).filter((name) => name.endsWith('.mjs'))
for (const name of ['docker-compose.test.yml', ...others.map((name) => `tools/brokers/${name}`)]) {
  copyFileSync(new URL(name, root), new URL(name, built))
}
await import(new URL('bench/main.js', built).href)
