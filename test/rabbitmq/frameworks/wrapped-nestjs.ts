import { AmqpConnection, AmqpConnectionManager, type RabbitMQConfig, RabbitMQModule } from '@golevelup/nestjs-rabbitmq'
import type { DynamicModule, Type } from '@nestjs/common'
import { ClientRMQ, type RmqOptions, ServerRMQ } from '@nestjs/microservices'
import { wrapConsumer, wrapProducer } from '../../../adapters/rabbitmq/index.ts'
import type { Signer, Verifier } from '../../../src/index.ts'

// The code of docs/frameworks.md, as it stands there.

type Options = NonNullable<RmqOptions['options']>

export class AuthorizedServerRMQ extends ServerRMQ {
  readonly #signer: Signer
  readonly #verifier: Verifier

  constructor(options: Options, signer: Signer, verifier: Verifier) {
    super(options)
    this.#signer = signer
    this.#verifier = verifier
  }

  override createClient<T>(): T {
    return wrapConsumer(wrapProducer(super.createClient(), this.#signer), this.#verifier) as T
  }
}

export class AuthorizedClientRMQ extends ClientRMQ {
  readonly #signer: Signer
  readonly #verifier: Verifier

  constructor(options: Options, signer: Signer, verifier: Verifier) {
    super(options)
    this.#signer = signer
    this.#verifier = verifier
  }

  override createClient(): ReturnType<ClientRMQ['createClient']> {
    return wrapConsumer(wrapProducer(super.createClient(), this.#signer), this.#verifier)
  }
}

export function authorizedRabbitMQ(config: RabbitMQConfig, signer: Signer, verifier: Verifier): DynamicModule {
  return {
    module: class AuthorizedRabbitMQ {},
    global: true,
    // Without a configuration it opens no connection; its decorators use those of the AmqpConnectionManager.
    imports: [RabbitMQModule.forRoot(undefined as never)],
    providers: [
      {
        provide: AmqpConnection,
        inject: [AmqpConnectionManager],
        useFactory: async (connections: AmqpConnectionManager) => {
          const connection = new AmqpConnection(config)
          const ready = connection.init()
          // init() has made the manager, which connects later than this.
          wrapConsumer(wrapProducer(connection.managedConnection, signer), verifier)
          await ready
          connections.addConnection(connection)
          return connection
        },
      },
    ],
    exports: [AmqpConnection as Type<AmqpConnection>],
  }
}
