import { Command, Option } from 'commander'
import { SetupError } from '../../errors.ts'
import { ALGORITHMS, type Algorithm } from '../../keys/algorithms.ts'
import { readPrivateKeyFile } from '../../keys/key-files.ts'
import { openSshPublicKey, type PublicKey, publicKeyOf } from '../../keys/public-key.ts'
import { checkService, parseQueues } from '../arguments.ts'
import { readKeyArgument } from '../keys/key-argument.ts'
import { algorithmOf, keyLine } from '../keys/line-text.ts'
import { CommandError, EXIT, print, printJson, say } from '../output.ts'
import { checkRoles } from '../roles.ts'

interface PublicLineOptions {
  readonly service?: string
  readonly queues?: string
  readonly alg?: Algorithm
  readonly json?: true
}

export function publicLineCommand(): Command {
  return new Command('public-line')
    .description('print the public line of a private key file, or of a public one')
    .usage('<key file> [--service <name> --queues <patterns>] [options]')
    .argument('<key file>', 'a private key as Signer.fromFile() reads it, or a public key')
    .option('--service <name>', 'with --queues: the line for authorized_keys; without, the line of a .pub file')
    .option('--queues <patterns>', 'the queues the service may publish to, such as "orders.*,invoices"')
    .addOption(new Option('--alg <name>', 'for an RSA key that signs RS256').choices(ALGORITHMS))
    .option('--json', 'print JSON in place of the line')
    .addHelpText(
      'after',
      `
  queue-key-auth public-line checkout.key --service checkout --queues "orders.*" >> authorized_keys
  queue-key-auth public-line checkout.key > checkout.pub

Nothing private is printed. A passphrase is taken from QUEUE_KEY_AUTH_PASSPHRASE.`,
    )
    .action(publicLine)
}

async function publicLine(keyFile: string, { service, queues, alg, json }: PublicLineOptions): Promise<void> {
  await checkRoles('public-line', [{ role: 'private key file', value: keyFile }])
  if (service === undefined && (queues !== undefined || alg !== undefined)) {
    throw new CommandError('the line of which service? --queues and --alg go with --service', {
      hint: 'write --service checkout as well',
      exitCode: EXIT.usage,
    })
  }
  if (service !== undefined) checkService(service)
  const patterns = service === undefined ? undefined : parseQueues(queues, service).patterns
  const key = await readEither(keyFile)
  const algorithm = algorithmOf(key, alg)
  const line =
    service === undefined || patterns === undefined
      ? openSshPublicKey(key)
      : keyLine(key, {
          services: [service],
          queues: patterns,
          algorithm,
          validAfter: undefined,
          validBefore: undefined,
        })
  const { fingerprint, keyId } = key
  say(`fingerprint ${fingerprint} (${algorithm})`)
  if (json) printJson({ ...(service !== undefined && { service, queues: patterns }), fingerprint, keyId, line })
  else print(line)
}

/** The key of a file that holds a public key, or a private one, which must then be closed to others. */
async function readEither(path: string): Promise<PublicKey> {
  try {
    return await readKeyArgument(path)
  } catch (error) {
    if (!(error instanceof SetupError) || error.code !== 'key-private-in-public-place') throw error
    const passphrase = process.env.QUEUE_KEY_AUTH_PASSPHRASE
    return publicKeyOf(await readPrivateKeyFile(path, { passphrase }))
  }
}
