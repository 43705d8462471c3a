import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common'
import { AuthorizedKeys, SetupError, Signer, senderOf, Verifier } from 'queue-key-auth'
import { MemoryBroker, type MemoryClient, type MemoryMessage, wrapConsumer, wrapProducer } from 'queue-key-auth/memory'

@Injectable()
export class OrdersService implements OnModuleInit, OnModuleDestroy {
  readonly handled: string[] = []
  readonly broker = new MemoryBroker()
  private readonly signer = Signer.generate('checkout')
  private readonly client: MemoryClient = this.broker.connect()

  async onModuleInit(): Promise<void> {
    const keys = AuthorizedKeys.parse(this.signer.authorizedKeysLine('orders'))
    wrapConsumer(wrapProducer(this.client, this.signer), new Verifier({ keys }), { onVerdict: () => undefined })
    await this.client.consume('orders', (message: MemoryMessage) => {
      this.handled.push(`${senderOf(message)?.service}: ${message.payload?.toString()}`)
      this.client.ack(message)
    })
    this.client.publish('orders', Buffer.from('signed'))
    this.broker.connect().publish('orders', Buffer.from('forged'))
  }

  wrapAgain(): boolean {
    try {
      wrapProducer(this.client, Signer.generate('billing'))
      return true
    } catch (error) {
      if (error instanceof SetupError) return false
      throw error
    }
  }

  async onModuleDestroy(): Promise<void> {
    await this.client.close()
  }
}
