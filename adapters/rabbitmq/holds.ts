import { setMaxListeners } from 'node:events'
import { Guard } from '../../src/guard.ts'
import type { Verifier } from '../../src/verifier.ts'
import type { AmqpMessage } from './client.ts'
import type { RabbitmqConsumerOptions } from './options.ts'

/**
 * A guard whose holds can be ended while its leases live on: messages that cannot be judged are given back to the broker
 * before it loses patience, but those the handler has go on being committed until the channel is gone.
 */
export class Holds {
  readonly guard: Guard<AmqpMessage>
  #holding: AbortController = controller()

  /** @param gone aborts when the channel is gone: also that of a consumer which was cancelled long before */
  constructor(verifier: Verifier, options: RabbitmqConsumerOptions, gone: AbortSignal) {
    const signal = (): AbortSignal => this.#holding.signal
    this.guard = new Guard<AmqpMessage>(verifier, {
      ...options,
      leaseSignal: gone,
      // Asked for whenever a hold begins.
      get signal() {
        return signal()
      },
    })
  }

  /** Lets go of what is held, and of what would be held, until {@link holdAgain}. */
  letGo(): void {
    this.#holding.abort()
  }

  holdAgain(): void {
    this.#holding = controller()
  }
}

/** Every message that is held listens to one signal; Node would take that many listeners for a leak. */
export function controller(): AbortController {
  const made = new AbortController()
  setMaxListeners(0, made.signal)
  return made
}
