import { build } from 'esbuild'

const [loads, format, outfile] = process.argv.slice(2)
// A program with `await` at its top level cannot become CommonJS.
const entry = loads === 'require' ? 'orders.cjs' : format === 'esm' ? 'orders.mjs' : 'orders.ts'
const { warnings } = await build({
  entryPoints: [entry],
  outfile,
  bundle: true,
  platform: 'node',
  format,
  logLevel: 'silent',
})
for (const { text } of warnings) console.log(text)
