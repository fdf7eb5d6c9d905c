/* SPDX-License-Identifier: GPL-3.0-or-later */

/* TSIG (RFC 8945): the key of -y or -k, and the signature as it is printed. */

#include <errno.h>
#include <string.h>

#include "clients/dig/dig.h"
#include "core/file_check.h"

#define FILE_BYTES_MAX 4096

/* Base64 is what the data of OPENPGPKEY is written as. */
static int set_key(struct gy_dig_command *command, const char *algorithm, const char *name,
                   const char *secret)
{
    struct gy_dns_key *key = &command->key;
    uint8_t wire[GY_DNS_NAME_PADDED];
    const char *why = "";
    int number = gy_dns_tsig_algorithm_parse(algorithm);
    if (number < 0) {
        return dig_misuse("%.40s: no algorithm of a key: hmac-sha256, hmac-sha512, hmac-sha384, "
                          "hmac-sha224 or hmac-sha1",
                          algorithm);
    }
    if (gy_dns_name_from_text(name, strlen(name), NULL, wire, &why) < 0) {
        return dig_misuse("%.200s: no name of a key (%s)", name, why);
    }
    int bytes = gy_dns_rdata_from_text(GY_DNS_TYPE_OPENPGPKEY, secret, strlen(secret), NULL,
                                       key->secret, sizeof key->secret, NULL);
    if (bytes <= 0) {
        return dig_misuse("the secret of the key has to be 1 to %d bytes in base64",
                          GY_DNS_SECRET_MAX);
    }
    key->algorithm = (enum gy_dns_tsig_algorithm)number;
    key->name_bytes = (uint8_t)gy_dns_name_lower(wire, key->name);
    key->secret_bytes = (uint16_t)bytes;
    command->keyed = true;
    return 0;
}

/* Cuts the next part of [ALGORITHM:]NAME:SECRET off. */
static char *part_of(char **rest)
{
    char *part = *rest;
    char *colon = strchr(part, ':');
    if (colon != NULL) {
        *colon = '\0';
        *rest = colon + 1;
    }
    return part;
}

int dig_read_key(struct gy_dig_command *command, const char *text)
{
    char copy[FILE_BYTES_MAX];
    char *rest = copy;
    int colons = 0;
    for (const char *at = text; *at != '\0'; at++) {
        colons += *at == ':';
    }
    if (colons < 1 || colons > 2 || strlen(text) >= sizeof copy) {
        return dig_misuse("-y: needs [ALGORITHM:]NAME:SECRET");
    }
    memcpy(copy, text, strlen(text) + 1);
    const char *algorithm = colons == 2 ? part_of(&rest) : "hmac-sha256";
    const char *name = part_of(&rest);
    int status = set_key(command, algorithm, name, rest);
    explicit_bzero(copy, sizeof copy);
    return status;
}

/* The next word of such a file, without quotes; NULL at its end. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t\r\n;{}\"");
    size_t length = strcspn(word, " \t\r\n;{}\"");
    *rest = word + length + (word[length] != '\0');
    word[length] = '\0';
    return length > 0 ? word : NULL;
}

int dig_read_key_file(struct gy_dig_command *command, const char *path)
{
    char text[FILE_BYTES_MAX], why[GY_FILE_WHY_BYTES];
    char *rest = text, *word;
    const char *name = NULL, *algorithm = "hmac-sha256", *secret = NULL;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
    }
    if (file == NULL || ferror(file)) {
        int cause = errno;
        if (file != NULL) {
            fclose(file);
        }
        return dig_misuse("-k %s: %s", path, gy_file_why(why, path, R_OK, cause));
    }
    fclose(file);
    while ((word = next_word(&rest)) != NULL) {
        const char **value = strcmp(word, "key") == 0         ? &name
                             : strcmp(word, "algorithm") == 0 ? &algorithm
                             : strcmp(word, "secret") == 0    ? &secret
                                                              : NULL;
        if (value == NULL || (word = next_word(&rest)) == NULL) {
            name = NULL;
            break;
        }
        *value = word;
    }
    int status = name != NULL && secret != NULL
                     ? set_key(command, algorithm, name, secret)
                     : dig_misuse("-k %s: not as tsig-keygen writes it: key \"NAME\" { algorithm "
                                  "…; secret \"…\"; };",
                                  path);
    explicit_bzero(text, sizeof text);
    return status;
}

void dig_print_signature(const struct gy_dns_record *record)
{
    char owner[GY_DNS_NAME_TEXT_BYTES], algorithm[GY_DNS_NAME_TEXT_BYTES];
    char mac[2 * GY_DNS_MAC_MAX], code[GY_DNS_MNEMONIC_BYTES];
    uint8_t name[GY_DNS_NAME_PADDED];
    size_t at = 0;
    if (gy_dns_name_read(record->rdata, record->rdata_bytes, &at, name) < 0) {
        return;
    }
    struct gy_reader reader = gy_reader_on(record->rdata + at, record->rdata_bytes - at);
    uint64_t time = (uint64_t)gy_reader_u16(&reader) << 32;
    time |= gy_reader_u32(&reader);
    unsigned fudge = gy_reader_u16(&reader);
    unsigned mac_bytes = gy_reader_u16(&reader);
    const uint8_t *bytes = gy_reader_bytes(&reader, mac_bytes);
    unsigned id = gy_reader_u16(&reader);
    uint16_t error = gy_reader_u16(&reader);
    unsigned other = gy_reader_u16(&reader);
    if (reader.failed ||
        gy_dns_rdata_to_text(GY_DNS_TYPE_OPENPGPKEY, bytes, mac_bytes, mac, sizeof mac) < 0) {
        return;
    }
    gy_dns_name_to_text(record->owner, owner);
    gy_dns_name_to_text(name, algorithm);
    printf(";; TSIG PSEUDOSECTION:\n%s\t0\tANY\tTSIG\t%s %llu %u %u%s%s %u %s %u\n\n", owner,
           algorithm, (unsigned long long)time, fudge, mac_bytes, mac_bytes > 0 ? " " : "",
           mac_bytes > 0 ? mac : "", id,
           error == GY_DNS_RCODE_BADSIG ? "BADSIG" : gy_dns_rcode_text(error, code), other);
}
