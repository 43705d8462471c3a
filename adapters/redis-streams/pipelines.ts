import { override } from '../../src/wrapping.ts'
import type { PipelineLike, RedisClient } from './client.ts'

type Make = (...args: unknown[]) => unknown

/**
 * Decorates every pipeline that a client makes from now on: those of `pipeline()` and `multi()`, chained or with an array,
 * and those of autopipelining. With `{ pipeline: false }` there is none.
 */
export function decoratePipelines(client: RedisClient, decorate: (pipeline: PipelineLike) => void): void {
  const makers = client as unknown as Record<string, Make | undefined>
  for (const method of ['pipeline', 'multi']) {
    const make = makers[method]
    if (make === undefined) continue
    override(makers, method, (...args) => {
      const made = make.apply(client, args)
      if (isPipeline(made)) decorate(made)
      return made
    })
  }
}

function isPipeline(value: unknown): value is PipelineLike {
  return typeof value === 'object' && value !== null && 'exec' in value && '_queue' in value
}
