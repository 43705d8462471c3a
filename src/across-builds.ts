const ordinary = Function.prototype[Symbol.hasInstance]

/**
 * Makes `instanceof` say the same of the instances of every build of this package. A program may load two of them, one
 * by `import` and one by `require`, and then a class is there twice (docs/commonjs.md). Written in the class:
 *
 * ```ts
 * static {
 *   acrossBuilds(SetupError, 'SetupError')
 * }
 * ```
 *
 * @param name its name among the classes of this package
 */
export function acrossBuilds(Class: { readonly prototype: object }, name: string): void {
  const mark = Symbol.for(`queue-key-auth.class.${name}`)
  const { prototype } = Class
  Object.defineProperty(prototype, mark, { value: true })
  Object.defineProperty(Class, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      // Subclasses inherit this method, and each asks for its own instances.
      if (this !== Class) return ordinary.call(this as never, value)
      return typeof value === 'object' && value !== null && mark in value
    },
  })
}

/**
 * A weak set or map that every build of this package in a program has in common: what one has noted about an object of a
 * client, the other knows.
 *
 * @param name its name in this package
 */
export function sharedByBuilds<State extends object>(name: string, make: () => State): State {
  const mark = Symbol.for(`queue-key-auth.shared.${name}`)
  const here = globalThis as { [mark: symbol]: State | undefined }
  here[mark] ??= make()
  return here[mark]
}
