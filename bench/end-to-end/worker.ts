import { Consumer } from './consumer.ts'
import type { Consumed, Handled, Produced, Reply, Request } from './jobs.ts'
import { Producer } from './producer.ts'

/** The producer or the consumer, in a process of its own. It lives until it is killed; what goes wrong ends it. */

let producer: Producer | undefined
let consumer: Consumer | undefined

process.on('message', (message: Request | Handled) => {
  if ('handled' in message) producer?.handled(message.handled)
  else void serve(message).then((reply) => process.send?.({ reply } satisfies Reply))
})
process.on('disconnect', () => process.exit())

async function serve(request: Request): Promise<Produced | Consumed | 'done'> {
  switch (request.to) {
    case 'open': {
      const { job } = request
      if (job.role === 'producer') producer = await Producer.open(job)
      else consumer = await Consumer.open(job, (handled) => process.send?.({ handled } satisfies Handled))
      return 'done'
    }
    case 'produce':
      return (producer as Producer).produce(request.amount)
    case 'begin':
      ;(consumer as Consumer).begin()
      return 'done'
    case 'finish':
      return (consumer as Consumer).finish(request.total)
  }
}
