import { Module } from '@nestjs/common'
import { AppController } from './app.controller'
import { OrdersService } from './orders.service'

@Module({
  imports: [],
  controllers: [AppController],
  providers: [OrdersService],
})
export class AppModule {}
