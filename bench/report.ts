import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import type { Chart } from './charts.ts'
import { type Goal, goalLine, goalsSummary, type Reasons } from './goals.ts'
import { elapsed } from './text.ts'

/** What a run has found: printed as it comes, and put together as docs/benchmarks.md in the end. */
export class Report {
  readonly #started = performance.now()
  readonly #sections: string[] = []
  readonly #charts: Chart[] = []
  readonly #goals: Goal[] = []

  /** On stderr, since stdout is the report. */
  progress(what: string): void {
    console.error(`${elapsed(performance.now() - this.#started)} … ${what}`)
  }

  section(...lines: readonly string[]): void {
    const text = lines.join('\n')
    this.#sections.push(text)
    console.log(`\n${text}`)
  }

  goal(name: string, reached: number | undefined, by: Goal['by'], wanted: number): void {
    this.#goals.push({ name, reached, by, wanted })
  }

  chart(chart: Chart): void {
    this.#charts.push(chart)
  }

  printGoals(reasons: Reasons): void {
    console.log(`\n${this.#goalsSection(reasons)}`)
    console.log(`\nTook ${elapsed(performance.now() - this.#started)}.`)
  }

  /** @param docs the folder, with a slash at its end */
  async write(docs: URL, reasons: Reasons): Promise<void> {
    const images = this.#charts.map(({ file, title }) => `![${title}](benchmarks/${file})`)
    const [machine = '', ...rest] = this.#sections
    const text = [INTRODUCTION, machine, this.#goalsSection(reasons), '## Charts', ...images, ...rest].join('\n\n')
    await mkdir(new URL('benchmarks/', docs), { recursive: true })
    for (const { file, svg } of this.#charts) await writeFile(new URL(`benchmarks/${file}`, docs), svg)
    await writeFile(new URL('benchmarks.md', docs), `${text}\n`)
  }

  #goalsSection(reasons: Reasons): string {
    const lines = this.#goals.map((goal) => goalLine(goal, reasons))
    return ['## Goals', '', `${goalsSummary(this.#goals)}.`, '', '```', ...lines, '```'].join('\n')
  }
}

const INTRODUCTION = `# Benchmarks

Written by \`npm run bench\`. How to read and rerun it: [bench/README.md](../bench/README.md).`

export function readReasons(file: URL): Reasons {
  return JSON.parse(readFileSync(file, 'utf8')) as Reasons
}
