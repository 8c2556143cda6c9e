// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/records.h -- the output of esxcli: records of named fields, in one of five forms.
 *
 * A command says what it has, once; the form comes from --formatter. Without it each command
 * has the form that ESXi gives it: a table, or indented "Name: value" lines.
 */
#pragma once

#include "agents/vmtools/vmtools.h"

enum records_form {
    RECORDS_DEFAULT,  // as the command would
    RECORDS_TABLE,
    RECORDS_SIMPLE,  // with a title line if the records have one
    RECORDS_CSV,
    RECORDS_KEYVALUE,
    RECORDS_XML
};

struct records;

/*
 * `type` names the structure in key-value and XML form: "VirtualMachine". `list`: may be any
 * number.
 */
struct records *records_begin(enum records_form form, const char *type, bool list);
/* A record; title null: none. */
void records_add(struct records *r, const char *title);
/* A field of the last record. Every record has the same fields in the same order. */
void records_text(struct records *r, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);
void records_number(struct records *r, const char *name, uint64_t value);
void records_flag(struct records *r, const char *name, bool value);
/* Prints all in the wanted form and frees them. */
void records_end(struct records *r, enum records_form wanted);
