import { Controller, Get } from '@nestjs/common'
import { OrdersService } from './orders.service'

@Controller()
export class AppController {
  constructor(private readonly orders: OrdersService) {}

  @Get()
  handled(): string {
    return this.orders.handled.join()
  }
}
