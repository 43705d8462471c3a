import type { HeaderValue } from '../../src/message.ts'

/** Counts what is read of a value: members, items and their number. */
export class Watched {
  reads = 0

  table(members: number): Record<string, HeaderValue> {
    const names = Array.from({ length: members }, (_, n) => `m${n}`)
    const look = (): void => {
      this.reads++
    }
    return new Proxy({} as Record<string, HeaderValue>, {
      ownKeys: () => names,
      get: (_, name) => {
        look()
        return name
      },
      getOwnPropertyDescriptor: (_, name) => {
        look()
        return { value: name, configurable: true, enumerable: true, writable: true }
      },
    })
  }

  list(items: readonly HeaderValue[]): HeaderValue {
    return new Proxy([...items], {
      get: (target, name, receiver) => {
        if (name !== 'length') this.reads++
        return Reflect.get(target, name, receiver)
      },
    })
  }
}
