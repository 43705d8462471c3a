import { measureEndToEnd } from './end-to-end/part.ts'
import { measureGrowth } from './growth/part.ts'
import { machineLines } from './machine.ts'
import { type Options, PARTS, parseOptions } from './options.ts'
import { FULL, QUICK } from './plan.ts'
import { measureRejecting } from './rejecting/part.ts'
import { Report, readReasons } from './report.ts'
import { measureTokens } from './tokens/part.ts'

// Compiled, this is node_modules/.cache/queue-key-auth-bench/bench/main.js.
const root = new URL('../../../../', import.meta.url)

const { quick, parts } = readOptions()
const plan = quick ? QUICK : FULL
const report = new Report()
report.section(...machineLines(root, quick ? 'quick: short and few rounds, so the numbers are rough' : 'full'))
let complete = !quick && parts.length === PARTS.length
for (const part of parts) {
  if (part === 'tokens') await measureTokens(plan, report)
  else if (part === 'rejecting') await measureRejecting(plan, report)
  else if (part === 'growth') await measureGrowth(plan, report)
  else complete = (await measureEndToEnd(part, plan, report)) && complete
}
const reasons = readReasons(new URL('bench/missed-goals.json', root))
report.printGoals(reasons)
if (complete) {
  await report.write(new URL('docs/', root), reasons)
  console.log('Written to docs/benchmarks.md.')
} else console.log('Nothing is written: docs/benchmarks.md takes a full run of every part.')

function readOptions(): Options {
  try {
    return parseOptions(process.argv.slice(2))
  } catch (error) {
    console.error((error as Error).message)
    process.exit(2)
  }
}
