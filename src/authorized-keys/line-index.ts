import type { AuthorizedLine } from './snapshot.ts'

/** How many queues a service's lines are remembered for. A consumer reads a few; a flood of names must not grow it. */
const REMEMBERED_QUEUES = 64

/** With fewer lines than this, looking at each is as fast. */
export const MIN_INDEXED_LINES = 4

/** The lines of a key by what a message asks for: its service, then its queue. A key may have a thousand. */
export class LineIndex {
  readonly #byService = new Map<string, ServiceLines>()

  constructor(lines: readonly AuthorizedLine[]) {
    for (const line of lines) {
      for (const service of new Set(line.services)) {
        const own = this.#byService.get(service) ?? new ServiceLines()
        own.lines.push(line)
        this.#byService.set(service, own)
      }
    }
  }

  /** The lines that name the service; undefined when none does. */
  of(service: string): ServiceLines | undefined {
    return this.#byService.get(service)
  }
}

/** The lines of a key that name one service. */
class ServiceLines {
  readonly lines: AuthorizedLine[] = []
  readonly #byQueue = new Map<string, readonly AuthorizedLine[]>()

  /** Those that match the queue, in their order. */
  for(queue: string): readonly AuthorizedLine[] {
    let found = this.#byQueue.get(queue)
    if (found === undefined) {
      found = this.lines.filter(({ queues }) => queues.matches(queue))
      if (this.#byQueue.size >= REMEMBERED_QUEUES) this.#byQueue.clear()
      this.#byQueue.set(queue, found)
    }
    return found
  }
}
