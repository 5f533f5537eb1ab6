# cmake -DFILES=a;b -DROOT=dir -DOUT=digest.h -P digest.cmake: SHA-256 of the files, in order, as a C string.
set(all "")
foreach(file IN LISTS FILES)
    file(SHA256 ${ROOT}/${file} one)
    string(APPEND all "${file} ${one}\n")
endforeach()
string(SHA256 sum "${all}")
file(WRITE ${OUT} "#define EMITTER_DIGEST \"${sum}\"\n")
