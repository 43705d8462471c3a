#!/usr/bin/env node
import { tolerateClosedPipes } from './output.ts'
import { run } from './program.ts'

tolerateClosedPipes()
// Not process.exit(): what was written to a pipe would be lost.
process.exitCode = await run(process.argv.slice(2))
