import { mkdir, open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Command, Option } from 'commander'
import { ALGORITHMS, type Algorithm } from '../../keys/algorithms.ts'
import { generatePrivateKey } from '../../keys/generate.ts'
import { Signer } from '../../signer.ts'
import { checkService, parseQueues } from '../arguments.ts'
import { CommandError, hint, print, printJson, say } from '../output.ts'

interface KeygenOptions {
  readonly queues?: string
  readonly out: string
  readonly alg: Algorithm
  readonly json?: true
}

export function keygenCommand(): Command {
  return new Command('keygen')
    .description('write a private key, print the line that authorizes it')
    .usage('<service> --queues <patterns> [options]')
    .argument('<service>', 'the name that the service signs as, such as checkout')
    .option('--queues <patterns>', 'the queues it may publish to, such as "orders.*,invoices"')
    .option('--out <dir>', 'where to write <service>.key', '.')
    .addOption(new Option('--alg <name>', 'the signature algorithm').choices(ALGORITHMS).default('Ed25519'))
    .option('--json', 'print JSON in place of the line')
    .addHelpText(
      'after',
      `
Add the line to the consumers' authorized_keys file:
  queue-key-auth keygen checkout --queues "orders.*" >> authorized_keys

The private key is PKCS#8 PEM, mode 0600, for Signer.fromFile(); it is never printed, and no file is overwritten.
A "/" in a service's name is a "+" in the name of its file.`,
    )
    .action(keygen)
}

async function keygen(service: string, { queues, out, alg, json }: KeygenOptions): Promise<void> {
  checkService(service)
  const { patterns } = parseQueues(queues, service)
  const privateKey = generatePrivateKey(alg)
  const signer = Signer.fromKey(privateKey, { service, algorithm: alg })
  const line = signer.authorizedKeysLine(patterns)
  const path = join(out, `${service.replaceAll('/', '+')}.key`)
  await writePrivateKey(path, privateKey.export({ type: 'pkcs8', format: 'pem' }))

  say(`wrote the private key to ${path} (mode 0600); only ${service} must be able to read it`)
  say(`fingerprint ${signer.fingerprint} (${alg})`)
  if (json) {
    const { fingerprint, keyId } = signer
    printJson({ service, queues: patterns, alg, privateKeyFile: path, fingerprint, keyId, authorizedKeysLine: line })
  } else {
    print(line)
    if (process.stdout.isTTY) hint(`that line belongs into the authorized_keys file of whoever consumes ${queues}`)
  }
  if (alg === 'RS256') hint(`sign with Signer.fromFile(path, { service: '${service}', algorithm: 'RS256' })`)
}

async function writePrivateKey(path: string, pem: string | Buffer): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    // Exclusive: neither a key that is there nor what a symbolic link points to is overwritten.
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(pem)
      await file.sync()
    } catch (error) {
      await rm(path, { force: true })
      throw error
    } finally {
      await file.close()
    }
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && syscall === 'open') {
      throw new CommandError(`${path} is there already, and no key is ever overwritten`, {
        hint: 'write to another folder with --out, or move that key away first',
        cause: error,
      })
    }
    throw new CommandError(`${path} cannot be written: ${code ?? 'writing failed'}`, {
      hint: 'name a folder that you may write to with --out',
      cause: error,
    })
  }
}
