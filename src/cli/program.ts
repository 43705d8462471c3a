import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { authorizeCommand } from './commands/authorize.ts'
import { canCommand } from './commands/can.ts'
import { checkCommand } from './commands/check.ts'
import { demoCommand } from './commands/demo.ts'
import { explainCommand } from './commands/explain.ts'
import { inspectCommand } from './commands/inspect.ts'
import { keygenCommand } from './commands/keygen.ts'
import { listCommand } from './commands/list.ts'
import { publicLineCommand } from './commands/public-line.ts'
import { revokeCommand } from './commands/revoke.ts'
import { rotateCommand } from './commands/rotate.ts'
import { signCommand } from './commands/sign.ts'
import { verifyCommand } from './commands/verify.ts'
import { CommandError, complain, EXIT, type ExitCode, NAME } from './output.ts'
import { looksOf } from './roles.ts'

/** In the order of the help. */
const COMMANDS: readonly (() => Command)[] = [
  demoCommand,
  keygenCommand,
  publicLineCommand,
  authorizeCommand,
  rotateCommand,
  revokeCommand,
  checkCommand,
  listCommand,
  canCommand,
  signCommand,
  verifyCommand,
  inspectCommand,
  explainCommand,
]

const FIRST_STEPS = `
The first day:
  1. ${NAME} demo
     what becomes of messages that are forged, changed, copied or late
  2. mkdir keys
     ${NAME} keygen checkout --queues "orders.*" >> keys/authorized_keys
     writes checkout.key for the producer, and the line that authorizes it
  3. ${NAME} check keys && ${NAME} can keys checkout orders.new
     before the consumers get to read it
  4. wrap the producer's client: wrapProducer(client,
       await Signer.fromFile('checkout.key', { service: 'checkout' }))
     and the consumer's: wrapConsumer(client,
       new Verifier({ keys: await AuthorizedKeys.fromDirectory('keys') }))

Later: authorize for a key that a service made itself, rotate for its next one, revoke
for a stolen one, explain for a dead letter.

Every command has --help, and --json where it prints. What it prints on stdout is data.
Exit codes: 0 done or yes, 1 failed or no, 2 wrong usage.`

/** Runs a command line, without the program's own name. */
export async function run(args: readonly string[]): Promise<ExitCode> {
  const program = createProgram()
  try {
    await program.parseAsync(args, { from: 'user' })
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof CommanderError)) return complain(error)
    if (error.exitCode === 0) return EXIT.ok
    // Without a command, the help was written in place of an error.
    if (error.code === 'commander.help') return EXIT.usage
    return complain(await usageError(error, program, args))
  }
}

function createProgram(): Command {
  const { version } = createRequire(import.meta.url)('queue-key-auth/package.json') as { version: string }
  const program = new Command(NAME)
    .description('authorized_keys for message queues: who may publish where, and with which key')
    .version(version)
    .helpCommand(false)
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText('after', FIRST_STEPS)
  for (const command of COMMANDS) program.addCommand(command())
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: () => undefined })
  }
  return program
}

/** Commander's error in our form: what is wrong, then what to write. */
async function usageError(error: CommanderError, program: Command, args: readonly string[]): Promise<CommandError> {
  const [, message = '', meant] = /^(?:error: )?(.*?)(?:\n\(Did you mean (.*)\?\))?$/s.exec(error.message) ?? []
  return new CommandError(message.replace(/\.$/, ''), {
    hint:
      meant === undefined
        ? `${advice(program, args[0])}${await looks(error, program, args[0])}`
        : `did you mean ${meant}?`,
    exitCode: EXIT.usage,
  })
}

/** Which of too many or too few arguments looks like what. */
async function looks({ code }: CommanderError, program: Command, name: string | undefined): Promise<string> {
  if (code !== 'commander.missingArgument' && code !== 'commander.excessArguments') return ''
  const given = program.commands.find((known) => known.name() === name)?.args ?? []
  const text = await looksOf(given)
  return text === '' ? '' : `; ${text}`
}

function advice(program: Command, name: string | undefined): string {
  const command = program.commands.find((known) => known.name() === name)
  if (command !== undefined) return `write ${NAME} ${command.name()} ${command.usage()}`
  const names = program.commands.map((known) => known.name()).join(', ')
  return `the commands are ${names}; ${NAME} --help explains them`
}
