import { setImmediate as turn } from 'node:timers/promises'
import { NestFactory } from '@nestjs/core'
import { AppModule } from './app.module'
import { OrdersService } from './orders.service'

async function bootstrap() {
  const app = await NestFactory.create(AppModule, { logger: ['error'] })
  await app.listen(0, '127.0.0.1')
  await turn()
  await turn()
  console.log(`handled ${app.get(OrdersService).handled.join()}`)
  await app.close()
}
void bootstrap()
