import { createRequire } from 'node:module'
import { context, propagation, trace } from '@opentelemetry/api'
import type { IORedisInstrumentation as Instrumentation } from '@opentelemetry/instrumentation-ioredis'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import type { Redis6 } from './clients.ts'

// As a module it loads on Node.js 22.15 and later only, which is what it asks for; this way on 20 as well.
const require = createRequire(import.meta.url)
const { IORedisInstrumentation } = require('@opentelemetry/instrumentation-ioredis') as {
  IORedisInstrumentation: typeof Instrumentation
}

/** What the instrumentation puts in the place of `sendCommand`. */
interface Patches {
  _traceSendCommand(original: unknown, version: string): Redis6['sendCommand']
}

export interface Tracing {
  /** Puts the instrumentation over what the client has by now: over a wrapper, or below the one that is still to come. */
  trace(client: Redis6): Redis6
  /** the names of the commands that ended without and with an error */
  ended(): { readonly good: string[]; readonly failed: string[] }
  stop(): Promise<void>
}

/**
 * The instrumentation of OpenTelemetry, put on single clients. Its own hook patches the class that `require('ioredis')` gives,
 * which is below every wrapper. It is made without its constructor, which asks for a later `@opentelemetry/api` than the
 * other instrumentations here do: what it does to a command is its own code.
 */
export function startTracing(): Tracing {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  provider.register()
  const config = { requireParentSpan: false, responseHook: () => undefined }
  const patches = Object.create(IORedisInstrumentation.prototype, {
    getConfig: { value: () => config },
    tracer: { value: provider.getTracer('ioredis') },
  }) as Patches
  return {
    trace(client) {
      client.sendCommand = patches._traceSendCommand(client.sendCommand, '0.0.0')
      return client
    },
    ended() {
      const spans = exporter.getFinishedSpans()
      const named = (failed: boolean): string[] =>
        spans.filter(({ status }) => (status.code === 2) === failed).map(({ name }) => name.toLowerCase())
      return { good: named(false), failed: named(true) }
    },
    async stop() {
      await provider.shutdown()
      for (const api of [trace, context, propagation]) api.disable()
    },
  }
}
