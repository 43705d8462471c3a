import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

export interface Bar {
  readonly group: string
  readonly name: string
  readonly value: number
}

/** A chart of horizontal bars as SVG. */
export async function barChart(title: string, unit: string, bars: readonly Bar[]): Promise<string> {
  const spec: TopLevelSpec = {
    title,
    width: 520,
    data: { values: [...bars] },
    mark: 'bar',
    encoding: {
      row: { field: 'group', type: 'nominal', sort: null, title: null },
      y: { field: 'name', type: 'nominal', sort: null, title: null },
      x: { field: 'value', type: 'quantitative', title: unit },
      color: { field: 'name', type: 'nominal', sort: null, legend: null },
    },
    config: { background: 'white' },
  }
  const view = new View(parse(compile(spec).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return `${svg}\n`
}
