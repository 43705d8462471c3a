import { setImmediate as turn } from 'node:timers/promises'
import { type AuthorizedKeys, RejectedError, SetupError, type Signer, type Verifier } from 'queue-key-auth'
import { MemoryBroker, wrapConsumer } from 'queue-key-auth/memory'
import { testKeys } from 'queue-key-auth/testing'
import * as library from './library.cjs'

const test = testKeys('checkout', 'orders')
const { signer, keys }: { signer: Signer; keys: AuthorizedKeys } = test
const verifier: Verifier = library.verifierOf(keys)
const broker = new MemoryBroker()
const handled = await library.consume(broker, verifier)
library.publish(broker, signer)
wrapConsumer(broker.connect(), verifier)
await turn()
await turn()
const code = library.codeOf(new RejectedError('key-unknown', 'text'))
console.log(handled.join(), library.nameOf(test), code, library.isOurs(new SetupError('option-invalid', 'text')))

// @ts-expect-error: a verifier is no signer
export const wrong = (): void => library.publish(broker, verifier)
