import { Command, Option } from 'commander'
import { ALGORITHMS, type Algorithm } from '../../keys/algorithms.ts'
import { Signer } from '../../signer.ts'
import { checkService, parseDuration } from '../arguments.ts'
import { type CliMessage, isDeadLetter, toMessageJson } from '../messages/message-json.ts'
import { fromOption, type MessageForm, readMessages } from '../messages/stdin.ts'
import { CommandError, EXIT, jsonText, print, say } from '../output.ts'
import { checkRoles } from '../roles.ts'

interface SignOptions {
  readonly service: string
  readonly to?: string
  readonly expiresIn?: string
  readonly alg?: Algorithm | 'EdDSA'
  readonly from: MessageForm
  readonly token?: true
}

export function signCommand(): Command {
  return new Command('sign')
    .description('sign a message as a service does')
    .usage('<key file> --service <name> [--to <address>] [options] < message.json')
    .argument('<key file>', 'the private key, open to nobody else')
    .requiredOption('--service <name>', 'the name to sign as')
    .option('--to <address>', 'the destination, such as amqp:orders/order.created, in place of the one in the message')
    .option('--expires-in <duration>', 'a deadline: handling must not start later')
    .addOption(
      new Option(
        '--alg <name>',
        'RS256 for an RSA key that signs so, EdDSA for an Ed25519 key whose verifiers know only that name',
      ).choices([...ALGORITHMS, 'EdDSA']),
    )
    .addOption(fromOption())
    .option('--token', 'print the token alone, the value of the header queueauth')
    .addHelpText(
      'after',
      `
  echo '{"payload":"hello"}' | queue-key-auth sign checkout.key --service checkout --to memory:orders

Prints the message with its token as JSON, one a line: what queue-key-auth verify reads.
A passphrase is taken from QUEUE_KEY_AUTH_PASSPHRASE.`,
    )
    .action(sign)
}

async function sign(keyFile: string, options: SignOptions): Promise<void> {
  const { service, expiresIn, alg } = options
  await checkRoles('sign', [
    { role: 'private key file', value: keyFile },
    { role: 'service', value: service, option: '--service' },
  ])
  checkService(service)
  const passphrase = process.env.QUEUE_KEY_AUTH_PASSPHRASE
  const signer = await Signer.fromFile(keyFile, {
    service,
    ...(alg !== undefined && { algorithm: alg }),
    ...(expiresIn !== undefined && { expiresInSeconds: parseDuration(expiresIn, '--expires-in') }),
    ...(passphrase !== undefined && { passphrase }),
  })
  try {
    for (const message of await readMessages(options.from)) print(signedText(signer, message, options))
  } finally {
    signer.close()
  }
  say(`signed as ${service} with key ${signer.fingerprint} (${signer.algorithm})`)
}

function signedText(signer: Signer, message: CliMessage, { to, token }: SignOptions): string {
  const destination = to ?? message.destination
  if (destination === undefined) {
    throw new CommandError('where is the message sent to?', {
      hint: 'write --to amqp:<exchange>/<routing key>, --to kafka:<topic>, or a "destination" in the message',
      exitCode: EXIT.usage,
    })
  }
  if (isDeadLetter(message)) throw deadLetter()
  const signed = signedMessage(signer, { ...message, destination })
  return token ? String(signed.token) : jsonText(toMessageJson(signed))
}

function signedMessage(signer: Signer, message: CliMessage & { readonly destination: string }): CliMessage {
  const { destination, payload, properties, headers } = message
  // What it came by before says nothing of where it goes.
  const { deliveredBy: _, ...rest } = message
  return { ...rest, token: signer.sign({ destination, payload, properties, headers }) }
}

function deadLetter(): CommandError {
  return new CommandError('the message is a dead letter: it has headers queueauth-*', {
    hint: 'see what is the matter with queue-key-auth explain; take those headers out of what is to be signed anew',
  })
}
