import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

export interface Chart {
  readonly file: string
  readonly title: string
  readonly svg: string
}

export interface Bar {
  readonly group: string
  readonly name: string
  readonly value: number
  /** this library's, and so of another colour */
  readonly ours: boolean
}

export interface Point {
  readonly group: string
  readonly name: string
  readonly x: number
  readonly y: number
}

const OURS = '#f58518'
const OTHERS = '#9db7d1'

/** Horizontal bars, each with its value, in groups one below the other. */
export function barChart(file: string, title: string, unit: string, bars: readonly Bar[]): Promise<Chart> {
  const panels = grouped(bars).map(([group, values]) => ({
    ...{ title: heading(group), width: 480 },
    data: { values: values.map((bar) => ({ ...bar, label: bar.value.toPrecision(3) })) },
    encoding: {
      y: { field: 'name', type: 'nominal', sort: null, title: null },
      x: { field: 'value', type: 'quantitative', title: unit },
    },
    layer: [
      {
        mark: 'bar',
        encoding: { color: { condition: { test: 'datum.ours', value: OURS }, value: OTHERS } },
      },
      { mark: { type: 'text', align: 'left', dx: 4 }, encoding: { text: { field: 'label', type: 'nominal' } } },
    ],
  }))
  return draw(file, title, { vconcat: panels, resolve: { scale: { x: 'shared' } } })
}

export interface Axes {
  readonly x: string
  readonly y: string
  /** logarithmic and the same for all groups, or linear and each group's own */
  readonly scale: 'log' | 'linear'
}

/** Lines over a logarithmic x, in groups side by side. */
export function lineChart(file: string, title: string, axes: Axes, points: readonly Point[]): Promise<Chart> {
  const { x, y, scale } = axes
  const values = [...new Set(points.map((point) => point.x))]
  const vertical = scale === 'log' ? { type: 'log', nice: false } : { zero: true }
  const panels = grouped(points).map(([group, data]) => ({
    ...{ title: heading(group), width: 320, height: 240, data: { values: data } },
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: x,
        scale: { type: 'log', nice: false },
        axis: { values, labelOverlap: 'greedy', labelFlush: false },
      },
      y: { field: 'y', type: 'quantitative', title: y, scale: vertical, axis: { tickCount: 5 } },
      color: { field: 'name', type: 'nominal', sort: null, title: null },
    },
  }))
  return draw(file, title, { hconcat: panels, resolve: { scale: { y: scale === 'log' ? 'shared' : 'independent' } } })
}

function heading(text: string): object {
  return { text, anchor: 'start', frame: 'group', fontSize: 11 }
}

/** In the order in which they come. */
function grouped<T extends { readonly group: string }>(data: readonly T[]): [string, T[]][] {
  const groups = new Map<string, T[]>()
  for (const one of data) groups.set(one.group, [...(groups.get(one.group) ?? []), one])
  return [...groups]
}

async function draw(file: string, title: string, spec: object): Promise<Chart> {
  const whole = {
    ...spec,
    title: { text: title, anchor: 'start', fontSize: 14, offset: 16 },
    config: { background: 'white' },
  } as TopLevelSpec
  const view = new View(parse(compile(whole).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return { file, title, svg: `${svg}\n` }
}
