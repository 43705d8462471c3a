/** Numbers for readers of streams that have no name of their own: the lowest that no live reader of the stream has. */
export class Readers {
  readonly #taken = new Map<string, Set<number>>()

  take(stream: string): number {
    const taken = this.#taken.get(stream) ?? new Set<number>()
    this.#taken.set(stream, taken)
    let number = 1
    while (taken.has(number)) number++
    taken.add(number)
    return number
  }

  free(stream: string, number: number): void {
    const taken = this.#taken.get(stream)
    taken?.delete(number)
    if (taken?.size === 0) this.#taken.delete(stream)
  }
}
