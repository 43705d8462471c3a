import { resolve } from 'node:path'
import webpack from 'webpack'

const [loads, filename] = process.argv.slice(2)
const compiler = webpack({
  mode: 'production',
  target: 'node20',
  context: resolve('.'),
  entry: loads === 'require' ? './orders.cjs' : './orders.mjs',
  experiments: { topLevelAwait: true },
  output: { path: resolve('bundles'), filename },
})
const stats = await new Promise((done, fail) => compiler.run((error, result) => (error ? fail(error) : done(result))))
if (stats.hasErrors() || stats.hasWarnings()) {
  console.log(stats.toString({ all: false, errors: true, warnings: true }))
}
