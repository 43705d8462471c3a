export { FileKeyStore, type FillOptions } from './file-key-store.ts'
export { JwsAdapter, type JwsAdapterOptions } from './jws-adapter.ts'
export { JwtKeyAuth, type JwtService, type KeyLookup } from './jwt-key-auth.ts'
export { KeyStore, type PassphraseOption } from './key-store.ts'
