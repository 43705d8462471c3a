import { setImmediate as turn } from 'node:timers/promises'
import { Test, type TestingModule } from '@nestjs/testing'
import { senderOf } from 'queue-key-auth'
import { sentBy } from 'queue-key-auth/testing'
import { AppController } from './app.controller'
import { OrdersService } from './orders.service'

describe('AppController', () => {
  let app: TestingModule

  beforeEach(async () => {
    app = await Test.createTestingModule({ controllers: [AppController], providers: [OrdersService] }).compile()
    await app.init()
  })

  afterEach(() => app.close())

  it('has handled what was signed', async () => {
    await turn()
    await turn()
    expect(app.get<AppController>(AppController).handled()).toBe('checkout: signed')
    expect(app.get(OrdersService).broker.peek('orders.dlq')).toHaveLength(1)
  })

  it('gets errors by their class', () => {
    expect(app.get(OrdersService).wrapAgain()).toBe(false)
  })

  it('can pretend a sender', () => {
    expect(senderOf(sentBy('checkout', {}))?.service).toBe('checkout')
  })
})
