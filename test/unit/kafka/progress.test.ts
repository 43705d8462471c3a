import { describe, expect, it } from 'vitest'
import { handledAgain, Progress } from '../../../adapters/kafka/progress.ts'

/** Which of some offsets count as asked for again, in the order they arrive. */
const again = (progress: Progress, ...offsets: number[]): number[] =>
  offsets.filter((offset) => progress.arrive(offset) !== undefined)

/** The same, each being handled. */
const handled = (progress: Progress, ...offsets: number[]): number[] =>
  offsets.filter((offset) => {
    const asked = progress.arrive(offset)
    if (asked !== undefined) handledAgain(asked, offset)
    return asked !== undefined
  })

describe('what a consumer asked for again', () => {
  it('is nothing before it seeks', () => {
    expect(again(new Progress(), 0, 1, 2, 1, 0)).toEqual([])
  })

  it('is from the offset sought to the highest that it had reached', () => {
    const progress = new Progress()
    again(progress, 3, 4, 5, 6)
    progress.seek(4)
    expect(handled(progress, 4, 5, 6, 7, 8)).toEqual([4, 5, 6])
  })

  it('is not what comes before the offset sought', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2, 3)
    progress.seek(2)
    expect(handled(progress, 0, 1, 2, 3)).toEqual([2, 3])
  })

  it('has no end where nothing was reached before', () => {
    const progress = new Progress()
    progress.seek(2)
    expect(handled(progress, 1, 2, 3, 1_000_000)).toEqual([2, 3, 1_000_000])
  })

  it('stays what it is for a record that was not handled, and ends for one that was', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2)
    progress.seek(0)
    expect(handled(progress, 0)).toEqual([0])
    expect(again(progress, 1, 2)).toEqual([1, 2])
    expect(handled(progress, 0, 1, 1, 2, 2)).toEqual([1, 2])
  })

  it('a record of before the seek that is handled after it changes nothing', () => {
    const progress = new Progress()
    again(progress, 0, 1)
    progress.seek(0)
    const before = progress.arrive(1)
    progress.seek(0)
    if (before !== undefined) handledAgain(before, 1)
    expect(handled(progress, 0, 1)).toEqual([0, 1])
  })

  it('is the first record alone where that was all it had reached', () => {
    const progress = new Progress()
    again(progress, 0)
    progress.seek(0)
    expect(handled(progress, 0, 1)).toEqual([0])
  })

  it('a record that is through after later ones were does not bring those back', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2)
    progress.seek(0)
    const [first, second] = [progress.arrive(0), progress.arrive(1)]
    if (second !== undefined) handledAgain(second, 1)
    if (first !== undefined) handledAgain(first, 0)
    expect(again(progress, 0, 1, 2)).toEqual([2])
  })

  it('reaches as far as the seek before it did', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2, 3)
    progress.seek(0)
    handled(progress, 0)
    progress.seek(1)
    expect(handled(progress, 1, 2, 3, 4)).toEqual([1, 2, 3])
    const fresh = new Progress()
    fresh.seek(5)
    handled(fresh, 5, 6)
    fresh.seek(5)
    expect(handled(fresh, 5, 6, 7)).toEqual([5, 6, 7])
  })

  it('is everything for the beginning, and nothing for the end', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2)
    progress.seek(-2)
    expect(again(progress, 0, 1, 2, 3)).toEqual([0, 1, 2])
    progress.seek(-1)
    expect(again(progress, 0, 1, 2, 3)).toEqual([])
  })

  it('is forgotten when the group is joined anew, unless the client is still to go there', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2)
    progress.seek(1)
    progress.rejoin()
    expect(handled(progress, 1)).toEqual([1])
    progress.rejoin()
    expect(again(progress, 0, 1, 2)).toEqual([])
  })

  it('after the group was joined anew has no end where nothing was reached since', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2)
    progress.rejoin()
    progress.seek(1)
    expect(handled(progress, 1, 2, 3, 4)).toEqual([1, 2, 3, 4])
  })

  it('is forgotten when the consumer has ended, wherever it was to go', () => {
    const progress = new Progress()
    again(progress, 0, 1, 2)
    progress.seek(1)
    progress.end()
    expect(again(progress, 0, 1, 2)).toEqual([])
  })
})
